import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "ds-grpo",
  paper: { title: "Differential Smoothing Mitigates Sharpening and Improves LLM Reasoning", arxiv: "2511.19942" },
  stage: ["advantage", "reward"],
  describe: `Right answers get a bonus for being improbable, wrong ones a penalty for it, so that diversity is protected
only where it costs no correctness: a group of right answers still pushes its rare ones up. Right is R > 0. The log-
probability is the rollout's sum over trained tokens (whether the paper divides by length was not read). No KL.`,
  formula: "A = A_GRPO − gamma_p·Σ_t lp_old where R > 0, A_GRPO + gamma_n·Σ_t lp_old elsewhere",
  params: {
    gamma_p: number(0.02, "bonus of right answers a nat; tuned by task", { min: 0 }),
    gamma_n: number(0.01, "penalty of wrong answers a nat; 0: one-sided", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const a = zScore(c.reward, c.group, { eps: p.std_eps, weight: c.optional("reward.present") });
    const logp = c.mask.mul(c.logpOld).sumOver(c.trajectory);
    c.output("advantage_grpo", a);
    return a.add(logp.mul(c.reward.gt(0).where(-p.gamma_p, p.gamma_n)).mul(c.present("reward")));
  },
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
