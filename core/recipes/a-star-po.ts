import { defineRecipe, integer, number } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { implicitReward } from "../rl/preference.ts";

export default defineRecipe({
  id: "a-star-po",
  paper: {
    title: "Accelerating RL for LLM Reasoning with Optimal Advantage Regression",
    source: "huggingface/trl@f2cd577 trl/experimental/a2po/a2po_trainer.py",
  },
  stage: ["sampler", "objective"],
  describe: `No group and no baseline from it: the optimal value of a prompt is estimated once from K rewards of the
reference (value_samples), and one rollout a prompt is regressed to its advantage. Prompts whose samples all fail may
be dropped before; this does not.`,
  formula: "V* = beta1·ln mean_j e^{r_j/beta1}; loss = (1/N) Σ_i (beta2·Σ_t m(lp − lp_ref) − (R_i − V*_i))²",
  params: {
    beta1: number(0.5, "temperature of the optimal value", { min: 1e-9 }),
    beta2: number(0.001, "strength of the pull to the reference", { min: 0 }),
    K: integer(8, "the sampler's: reference rollouts of a prompt", { min: 1 }),
  },
  fields: { value_samples: "ragged" },
  trains: { supply: { value_samples: "reference-rewards" } },
  loss: (c, p) => {
    const samples = c.field("value_samples");
    const count = samples.countOver(c.trajectory);
    const mean = samples.div(p.beta1).logSumExpOver(c.trajectory).sub(count.log());
    const value = count.gt(0).where(mean.mul(p.beta1), 0);
    c.output("value", value);
    const gap = implicitReward(c).mul(p.beta2).sub(c.reward.sub(value));
    return trajectoryMean(c, gap.square());
  },
});
