import { defineRecipe, integer, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { dualClip } from "../rl/gate.ts";
import { members } from "../rl/groups.ts";

type Buffer = Record<string, string[]>;

export default defineRecipe({
  id: "arpo-gui",
  paper: { title: "ARPO:End-to-End Policy Optimization for GUI Agents with Experience Replay", arxiv: "2505.16282" },
  stage: ["sampler", "rollout", "filter", "advantage", "objective"],
  describe: `A buffer a task of its last successes: where all rollouts of a task fail, the first is replaced by a stored one, and
the group's advantages are those after the replacement; the batch's own successes are stored only then. Reward is the
environment's result less half for an action that does not parse. Token mean, wider clip above, dual clip, no KL.
The state holds ids alone; of several stored ones the oldest is taken (the draw is left out). The tokens of the batch
are those after the replacement; the choice of tasks beforehand is data.`,
  formula:
    "replace where std_g e < std_threshold and mean_g e < mean_threshold; R = e + format_weight·f; A = (R − mean_g)/(std_g + adv_eps)",
  params: {
    n: integer(8, "the trainer's: rollouts a task", { min: 1 }),
    buffer: integer(8, "stored successes a task", { min: 0 }),
    success_threshold: number(0.1, "a result above is a success"),
    std_threshold: number(0.05, "a group of smaller deviation (divisor n) …", { min: 0 }),
    mean_threshold: number(0.2, "… and mean has failed as a whole"),
    format_weight: number(0.5, "weight of the format's −1", { min: 0 }),
    clip_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    clip_hi: number(0.3, "clip range above 1", { min: 0 }),
    clip_dual: number(3, "dual clip", { min: 1 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
  },
  fields: {
    task: "raw",
    rollout_id: "raw",
    env_result: "trajectory",
    format: "trajectory",
    replay_env_result: "raw",
    replay_format: "raw",
  },
  trains: {
    refuse:
      "needs an environment's results by task and stored trajectories to replay: supply task, rollout_id, env_result, format",
  },
  state: {
    init: () => ({ buffer: {} }),
    update: (c, p) => {
      const buffer: Buffer = { ...(c.state["buffer"] as Buffer) };
      const result = c.field("env_result").values();
      const [task, id] = [c.raw<string[]>("task"), c.raw<string[]>("rollout_id")];
      result.forEach((e, i) => {
        if (e > p.success_threshold) buffer[task[i]] = [...(buffer[task[i]] ?? []), id[i]];
      });
      const kept = Object.entries(buffer).map(([name, ids]) => [name, ids.slice(Math.max(0, ids.length - p.buffer))]);
      return { buffer: Object.fromEntries(kept.filter(([, ids]) => ids.length > 0)) };
    },
  },
  reward: (c, p) => {
    const buffer = c.state["buffer"] as Buffer;
    const [result, format] = [c.field("env_result").values(), c.field("format").values()];
    const ids = [...c.raw<string[]>("rollout_id")];
    const deviation = c.field("env_result").stdOver(c.group).values();
    const mean = c.field("env_result").meanOver(c.group).values();
    for (const [g, [first]] of members(c).entries()) {
      const stored = buffer[c.raw<string[]>("task")[first]] ?? [];
      if (deviation[g] >= p.std_threshold || mean[g] >= p.mean_threshold || stored.length === 0) continue;
      ids[first] = stored[0];
      result[first] = c.raw<number>("replay_env_result");
      format[first] = c.raw<number>("replay_format");
    }
    c.output("batch_ids", ids);
    return c.lift(c.trajectory, result).add(c.lift(c.trajectory, format).mul(p.format_weight));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.clip_lo, hi: p.clip_hi }, p.clip_dual),
  kl: none,
  aggregate: tokenMean,
});
