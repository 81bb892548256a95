import { defineRecipe, optional } from "../recipe.ts";
import { aggLoss } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "agg-seq-mean-token-sum-norm",
  paper: { title: "verl loss_agg_mode", source: "verl verl/trainer/ppo/core_algos.py (agg_loss)" },
  stage: ["objective"],
  describe: `An option: the mean over trajectories of token sums, divided by a constant (Dr. GRPO). Without max_len verl takes the padded
width, the longest trajectory of the batch, with which the loss then varies.
With the totals of the whole step, the losses of its parts add up to the loss of the whole.`,
  formula: "Σ_i Σ_t m·ℓ / (#{i: Σ_t m > 0}·max_len)",
  params: {
    max_len: optional(null, "generation limit of the run, in tokens; null: the longest trajectory of the batch", {
      min: 1,
    }),
    batch_tokens: optional(null, "not read here", { min: 1 }),
    batch_seqs: optional(null, "trajectories of the whole step; null: those of the batch with a trained token", {
      min: 1,
    }),
  },
  fields: { loss_token: "token" },
  differentiate: ["loss_token"],
  option: true,
  aggregate: (c, loss, p) =>
    aggLoss(c, loss, "seq-mean-token-sum-norm", {
      tokens: p.batch_tokens,
      sequences: p.batch_seqs,
      maxLength: p.max_len,
    }),
});
