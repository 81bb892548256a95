import { defineRecipe, flag, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { klEstimate } from "../rl/kl.ts";
import { ALL, Level } from "../rl/level.ts";
import { logRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";

interface Colours {
  single_colour_is_zero: boolean;
}

/** Score and advantage of each set of vines, over sets. */
function setsOf(c: Context, { single_colour_is_zero }: Colours): { sets: number[][]; score: Vec; advantage: Vec } {
  const sets = c.raw<number[][]>("sets");
  const [reward, signature] = [c.reward.values(), c.raw<ArrayLike<number | string>>("signature")];
  const group = c.trajectory.edge(c.group).index;
  for (const i of sets.flat()) {
    if (!(i >= 0 && i < reward.length))
      c.refuse(`poly-ppo: a set names vine ${i} of ${reward.length}`, "name vines that exist");
  }
  const scores = sets.map((set) => {
    const colours = new Set(set.map((i) => signature[i])).size;
    if (colours === 0 || (colours === 1 && single_colour_is_zero)) return 0;
    return (set.reduce((sum, i) => sum + reward[i], 0) / set.length) * (colours / set.length);
  });
  const level = new Level("set", sets.length);
  const score = c.lift(level, scores);
  const state = level.keyed(
    "state",
    sets.map((set) => group[set[0]] ?? -1),
  );
  return { sets, score, advantage: score.centreOver(state) };
}

export default defineRecipe({
  id: "poly-ppo",
  paper: { title: "Polychromic Objectives for Reinforcement Learning", arxiv: "2509.25424" },
  stage: ["rollout", "advantage", "objective"],
  describe: `Sets of rollouts (vines) from one state are scored by mean reward times diversity, the share of distinct signatures,
and every vine of a set is credited with the set's score less the mean over the state's sets, on its first window + 1
steps. A vine in several sets enters once for each. Plain PPO with GAE on the other states is left out; the form of the KL
term (k3, mean over the trained steps) is ours. Training: the states are the prompt, whose group is its vines, and further
ones evenly spaced over the group's first rollout, with as many vines; the signature is the task's answer, else the text.`,
  formula:
    "f_j = mean_{i∈j} R_i · distinct_j/n; A#_j = f_j − mean f; loss = mean over (set, member, step) of the PPO clip",
  params: {
    n: integer(4, "vines of a set (told by the sets)", { min: 1 }),
    sets: integer(4, "M: sets of a state, in training", { min: 1 }),
    states: integer(2, "p: states of an episode, in training", { min: 1 }),
    window: integer(5, "W: steps 0 … W of a vine are trained", { min: 0 }),
    eps_clip: number(0.2, "clip range on both sides", { min: 0, max: 1 }),
    single_colour_is_zero: flag(true, "a set of one signature has score 0"),
    kl_coef: number(0, "coefficient of KL(π_old ‖ π)", { min: 0 }),
  },
  fields: { signature: "trajectory", sets: "raw" },
  advantage: (c, p) => {
    const { sets, score, advantage } = setsOf(c, p);
    const total = new Float64Array(c.trajectory.size);
    const count = new Float64Array(c.trajectory.size);
    const values = advantage.values();
    sets.forEach((set, j) => {
      for (const i of set) {
        total[i] += values[j];
        count[i]++;
      }
    });
    c.output("set_score", [...score.values()]);
    c.output("set_advantage", [...values]);
    return c.lift(c.trajectory, total).div(c.lift(c.trajectory, count));
  },
  loss: (c, p) => {
    const { sets, advantage } = setsOf(c, p);
    const { offsets } = c.batch;
    const mask = c.mask.values();
    const terms: { token: number; set: number }[] = [];
    sets.forEach((members, set) => {
      for (const i of members) {
        const end = Math.min(offsets[i + 1], offsets[i] + p.window + 1);
        for (let token = offsets[i]; token < end; token++) if (mask[token] !== 0) terms.push({ token, set });
      }
    });
    const level = new Level("term", terms.length);
    const of = (x: Vec, place: "token" | "set") =>
      x.gather(
        c.graph.constant(
          level,
          terms.map((term) => term[place]),
        ),
      );
    const moved = of(logRatio(c), "token");
    const loss = ppoClip(c, moved.exp(), of(advantage, "set"), { lo: p.eps_clip, hi: p.eps_clip }).meanOver(ALL);
    return p.kl_coef === 0 ? loss : loss.add(klEstimate(moved.neg(), "k3").meanOver(ALL).mul(p.kl_coef));
  },
  trains: { supply: { sets: "vine-sets", signature: "signature" } },
});
