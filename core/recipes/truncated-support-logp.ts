import { defineRecipe } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { logSumExpWhere } from "../rl/distill.ts";
import { tokenIndex } from "../rl/entropy.ts";

export default defineRecipe({
  id: "truncated-support-logp",
  paper: {
    title: "slime --use-rollout-top-p-logprobs; huggingface/trl issue 6789",
    source: "THUDM/slime@624b824 slime/utils/ppo_utils.py",
  },
  stage: ["rollout"],
  describe: `Where the sampler cut its distribution (top-p, top-k, min-p), its log-probabilities are normalised over
the kept tokens: so must the trainer's be. keep_vocab has the kept ids as 0 and 1; the sampled token always counts. The
loss is the negative log-likelihood; entropy and KL stay over the full vocabulary.`,
  formula: "lp = z_y − ln Σ_{v∈S} e^{z_v}; loss = −Σ m·lp / Σ m",
  params: {},
  fields: { keep_vocab: "vocabulary" },
  trains: {
    refuse:
      "needs the kept ids of a truncating sampler, which the trainer's does not report: supply logits and keep_vocab",
  },
  loss: (c) => {
    const logits = c.field("logits");
    const at = tokenIndex(c, logits.level);
    const sampled = c.number(1, c.token).scatterTo(logits.level, at);
    const support = c.field("keep_vocab").max(sampled);
    const logp = logits.gather(at).sub(logSumExpWhere(logits, c.token, support));
    c.output("logp", logp);
    return tokenMean(c, logp.neg());
  },
});
