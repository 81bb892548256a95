import { defineRecipe, optional } from "../recipe.ts";
import { aggLoss } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "agg-seq-mean-token-mean",
  paper: { title: "verl loss_agg_mode", source: "verl verl/trainer/ppo/core_algos.py (agg_loss)" },
  stage: ["objective"],
  describe: `An option: a mean inside each trajectory, then over those that have a trained token (TRL counts the others too).
With the totals of the whole step, the losses of its parts add up to the loss of the whole.`,
  formula: "Σ_i [Σ_t m·ℓ / Σ_t m] / #{i: Σ_t m > 0}",
  params: {
    max_len: optional(null, "not read here", { min: 1 }),
    batch_tokens: optional(null, "not read here", { min: 1 }),
    batch_seqs: optional(null, "trajectories of the whole step; null: those of the batch with a trained token", {
      min: 1,
    }),
  },
  fields: { loss_token: "token" },
  differentiate: ["loss_token"],
  option: true,
  aggregate: (c, loss, p) =>
    aggLoss(c, loss, "seq-mean-token-mean", { tokens: p.batch_tokens, sequences: p.batch_seqs, maxLength: p.max_len }),
});
