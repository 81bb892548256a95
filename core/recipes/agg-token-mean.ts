import { defineRecipe, optional } from "../recipe.ts";
import { aggLoss } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "agg-token-mean",
  paper: { title: "verl loss_agg_mode", source: "verl verl/trainer/ppo/core_algos.py (agg_loss)" },
  stage: ["objective"],
  describe: `An option: every trained token of the optimiser step weighs the same, whatever its trajectory's length.
With the totals of the whole step, the losses of its parts add up to the loss of the whole.`,
  formula: "Σ m·ℓ / Σ m",
  params: {
    max_len: optional(null, "not read here", { min: 1 }),
    batch_tokens: optional(null, "trained tokens of the whole step; null: those of the batch", { min: 1 }),
    batch_seqs: optional(null, "not read here", { min: 1 }),
  },
  fields: { loss_token: "token" },
  differentiate: ["loss_token"],
  option: true,
  aggregate: (c, loss, p) =>
    aggLoss(c, loss, "token-mean", { tokens: p.batch_tokens, sequences: p.batch_seqs, maxLength: p.max_len }),
});
