import { defineRecipe, none, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { ALL } from "../rl/level.ts";
import { pairs } from "../rl/preference.ts";
import { countEntropy, counts } from "../rl/text.ts";
import type { Vec } from "../rl/vec.ts";

const range = (x: Vec, level = ALL): Vec => x.maxOver(level).sub(x.minOver(level));

/** Entropy of each answer's own tokens, what it is of the batch's range, and |H_i − H_partner|. */
function information(c: Context): { entropy: Vec; helpful: Vec; gap: Vec } {
  const tokens = c.field("tokens").values();
  const { offsets } = c.batch;
  const of = Array.from({ length: c.trajectory.size }, (_, i) =>
    countEntropy(counts(tokens.subarray(offsets[i], offsets[i + 1]))),
  );
  const entropy = c.lift(c.trajectory, of);
  const gap = new Float64Array(of.length);
  for (const [a, b] of pairs(c).list) gap[a] = gap[b] = Math.abs(of[a] - of[b]);
  return { entropy, helpful: entropy.sub(entropy.minOver(ALL)).div(range(entropy)), gap: c.lift(c.trajectory, gap) };
}

export default defineRecipe({
  id: "info-consistent-grpo",
  paper: {
    title: "Information-Consistent Language Model Recommendations through Group Relative Policy Optimization",
    arxiv: "2512.12858",
  },
  stage: ["reward", "application"],
  describe: `The group is made of answers to re-worded versions of one question; the reward joins entropy (as helpfulness)
with equal entropy over the versions. The group's stability cancels in the group mean, so the advantage takes each answer's
distance from its partner. A reconstruction: alpha and beta are choices, the reward is a digest's. Training: half of a group
answers the other wording of the prompt, in the prompt file's column "variant"; the task's own rewards are not read.`,
  formula:
    "R_i = alpha·(H_i − min)/(max − min) + beta·F, F_g = 1 − mean_pairs|ΔH|/range_g, F_i = 1 − |H_i − H_partner|/range",
  params: {
    alpha: number(0.5, "weight of helpfulness"),
    beta: number(0.5, "weight of stability"),
    adv_eps: number(1e-6, "added to the group's deviation", { min: 0 }),
  },
  fields: { pairs: "raw" },
  trains: { supply: { pairs: "variant-pairs" } },
  reward: (c, p) => {
    const { entropy, helpful, gap } = information(c);
    const stability = c.number(1, c.group).sub(gap.meanOver(c.group).div(range(entropy, c.group)));
    c.output("entropy", entropy);
    c.output("helpfulness", helpful);
    c.output("stability_group", { ...[...stability.values()] });
    return helpful.mul(p.alpha).add(stability.mul(p.beta));
  },
  advantage: (c, p) => {
    const { entropy, helpful, gap } = information(c);
    const near = gap.div(range(entropy)).not();
    return zScore(helpful.mul(p.alpha).add(near.mul(p.beta)), c.group, { eps: p.adv_eps });
  },
  kl: none,
});
