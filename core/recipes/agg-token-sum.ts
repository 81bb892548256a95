import { defineRecipe, optional } from "../recipe.ts";
import { aggLoss } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "agg-token-sum",
  paper: { title: "verl loss_agg_mode", source: "verl verl/trainer/ppo/core_algos.py (agg_loss)" },
  stage: ["objective"],
  describe: `An option: the plain sum, so that the step grows with the batch.
With the totals of the whole step, the losses of its parts add up to the loss of the whole.`,
  formula: "loss = Σ_{i,t} m·ℓ",
  params: {
    max_len: optional(null, "not read here", { min: 1 }),
    batch_tokens: optional(null, "not read here", { min: 1 }),
    batch_seqs: optional(null, "not read here", { min: 1 }),
  },
  fields: { loss_token: "token" },
  differentiate: ["loss_token"],
  option: true,
  aggregate: (c, loss, p) =>
    aggLoss(c, loss, "token-sum", { tokens: p.batch_tokens, sequences: p.batch_seqs, maxLength: p.max_len }),
});
