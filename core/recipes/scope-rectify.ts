import { defineRecipe, number } from "../recipe.ts";

export default defineRecipe({
  id: "scope-rectify",
  paper: {
    title: "Recycling Failures: Salvaging Exploration in RLVR via Fine-Grained Off-Policy Guidance",
    arxiv: "2602.24110",
  },
  stage: ["filter", "rollout", "objective"],
  describe: `A failed rollout with a long good beginning is not thrown away: a process reward model finds its first bad step, and a
stronger model rewrites the rest; the result takes the failed one's place in the group if it is right. Here: where each
rollout goes wrong and which are to be rewritten. Reconstruction from the abstract; both thresholds are ours. The update on
the mixed trajectory is that of a guided off-policy recipe.`,
  formula:
    "first_error = least k with step_score_k < prm_threshold (−1: none); rectify = R = 0, first_error > 0, share ≥ min_prefix",
  params: {
    prm_threshold: number(0.5, "a step of a lower score is an error"),
    min_prefix: number(0.5, "least share of the steps before the error", { min: 0, max: 1 }),
  },
  fields: { step_score: "ragged" },
  outputs: (c, p) => {
    const score = c.field("step_score");
    const steps = score.countOver(c.trajectory);
    const wrong = score.lt(p.prm_threshold);
    // Steps before the first error: those up to which none has been wrong.
    const before = wrong.cumulate(c.trajectory).eq(0).sumOver(c.trajectory);
    const found = wrong.sumOver(c.trajectory).gt(0);
    const share = found.where(before.div(steps), 1);
    const rectify = c.reward.eq(0).and(found).and(before.gt(0)).and(share.ge(p.min_prefix));
    return {
      first_error: found.where(before, -1),
      prefix_fraction: share,
      rectify: { level: c.trajectory, data: rectify.values(), flags: true },
    };
  },
  trains: { refuse: "needs scores of a process reward model and a guide that rewrites: supply step_score" },
});
