import { choice, defineRecipe, integer, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { dualClip } from "../rl/gate.ts";

export default defineRecipe({
  id: "scaf-grpo",
  paper: {
    title: "Scaf-GRPO: Scaffolded Group Relative Policy Optimization for Enhancing LLM Reasoning",
    arxiv: "2510.19807",
  },
  stage: ["sampler", "rollout", "advantage"],
  describe: `After the first steps, a group that fails throughout is retried with growing hints (hint_reward: its rewards,
weakest hint first, by group index); the weakest hint that works replaces the group's first rows, whose logp and logp_old
are those of the hinted rollout. Outputs hint_level and selected. Dual clip, mean over tokens, no KL. Quirk of the authors'
code: a group of one keeps its raw reward over 1 + adv_eps.`,
  formula: "h* = least h with hint_reward_h > 0; R_first = hint_reward_h*; A = (R − μ)/(σ + adv_eps); dual clip clip_c",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    clip_c: number(3, "dual clip of negative advantages", { min: 1 }),
    warmup_steps: integer(50, "steps without hints", { min: 0 }),
    replace_num: integer(1, "rows of a group that the hinted rollout replaces", { min: 0 }),
    hint_levels: integer(8, "hint levels that are tried", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    aggregation: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
  },
  fields: { hint_reward: "raw", step: "raw" },
  reward: (c, p) => {
    const hints = c.hasRaw("hint_reward") ? c.raw<Record<string, number[]>>("hint_reward") : {};
    const step = c.hasRaw("step") ? c.raw<number>("step") : (c.state["step"] as number);
    if (!(step >= 0)) c.refuse(`scaf-grpo: 'step' is ${JSON.stringify(step)}`, "give the number of the training step");
    const reward = c.reward.values();
    const group = c.trajectory.edge(c.group).index;
    const failed = c.reward.maxOver(c.group).le(0).values();
    const level: Record<string, number> = {};
    const selected: number[] = [];
    for (let g = 0; g < failed.length; g++) {
      if (failed[g] === 0 || step <= p.warmup_steps) continue;
      const tried = (hints[String(g)] ?? []).slice(0, p.hint_levels);
      const first = tried.findIndex((r) => r > 0);
      level[String(g)] = first + 1;
      const rows = [...group.keys()].filter((i) => group[i] === g).slice(0, p.replace_num);
      for (const i of first < 0 ? [] : rows) {
        reward[i] = tried[first];
        selected.push(i);
      }
    }
    c.output("hint_level", level);
    c.output("selected", selected);
    return c.lift(c.trajectory, reward);
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, rawSingles: true }).to(c.token).mul(c.mask),
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
  state: { init: () => ({ step: 1 }), update: (c) => ({ step: (c.state["step"] as number) + 1 }) },
  trains: { supply: { hint_reward: "hint-reward" } },
});
