import { defineRecipe, flag, number } from "../recipe.ts";
import { centred, keepSingles, zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { exp } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

/** e^(q/tau) over its sum. */
function boltzmann(q: readonly number[], tau: number): number[] {
  const top = q.reduce((a, b) => Math.max(a, b), q[0] ?? 0);
  const weight = q.map((x) => exp((x - top) / tau));
  const sum = weight.reduce((a, b) => a + b, 0);
  return weight.map((w) => w / sum);
}

/** The category of each prompt; without the field all are one. */
const categories = (c: Context): Vec => c.optional("category_of_group") ?? c.number(0, c.group);

/** Values of the categories, 0 for one that the batch shows first. */
function known(c: Context): number[] {
  const before = c.state["Q"] as number[];
  const size = categories(c)
    .values()
    .reduce((n, k) => Math.max(n, k + 1), before.length);
  return Array.from({ length: size }, (_, k) => before[k] ?? 0);
}

export default defineRecipe({
  id: "sec",
  paper: {
    title: "Self-Evolving Curriculum for LLM Reasoning",
    arxiv: "2505.14970",
    source: "github Vincent-La/cofa sec/verl/verl/utils/auto_curriculum/priority.py",
  },
  stage: ["sampler"],
  describe: `GRPO whose prompts are drawn by category (difficulty, type): a bandit with Boltzmann draws over values that follow
the mean absolute advantage of each category's rollouts. A category that was not drawn decays, as in the released code.
Drawing, the other draw rules of the code (proportional, ε-greedy) and the refilling of lists are the sampler's. Quirk: a
group of one keeps its raw reward.`,
  formula: "P(c) = softmax(Q/tau); r(c) = mean |A| over category c (0 if absent); Q ← alpha·r + (1 − alpha)·Q",
  params: {
    alpha: number(0.5, "share of the new gain in a value", { min: 0, max: 1 }),
    tau: number(1, "temperature of the draw (1 countdown, 0.4 maths, 0.2 two-dimensional)", { min: 1e-9 }),
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    scale_by_std: flag(true, "whether advantages are divided by the group's deviation"),
  },
  fields: { category_of_group: "group" },
  sampler: (c, p) => c.output("sampling_weight", boltzmann(known(c), p.tau)),
  advantage: (c, p) =>
    p.scale_by_std
      ? zScore(c.reward, c.group, { eps: p.std_eps, rawSingles: true })
      : keepSingles(c.reward, c.group, centred(c.reward, c.group)),
  state: {
    init: () => ({ Q: [] }),
    update: (c, p) => {
      const category = categories(c).to(c.trajectory).values();
      const size = c.advantage.abs().to(c.trajectory).values();
      const before = known(c);
      const gain = before.map((_, k) => {
        const own = size.filter((_, i) => category[i] === k);
        return own.length > 0 ? own.reduce((a, b) => a + b, 0) / own.length : 0;
      });
      const Q = before.map((q, k) => p.alpha * gain[k] + (1 - p.alpha) * q);
      c.output("learning_gain", gain);
      c.output("sampling_weight_after", boltzmann(Q, p.tau));
      return { Q };
    },
  },
  trains: { supply: { category_of_group: "category" }, draws: "categories" },
});
