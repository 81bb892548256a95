import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { entropyOf } from "../rl/entropy.ts";

export default defineRecipe({
  id: "entropy-bonus",
  paper: {
    title: "Asynchronous Methods for Deep Reinforcement Learning",
    source: "verl verl/trainer/ppo/core_algos.py (compute_entropy_loss)",
  },
  stage: ["objective"],
  describe: `An option: the aggregated entropy of the tokens' distributions is rewarded, so that the policy stays random. It is
computed from the logits where the batch has them, else it is the field 'entropy'. TRL always takes the token mean;
verl the policy loss's own aggregation.`,
  formula: "loss = −entropy_coef·agg(H), H = logsumexp(z) − Σ softmax(z)·z",
  params: {
    entropy_coef: number(0, "coefficient"),
    agg: choice("token-mean", AGGREGATIONS, "how token entropies become one number"),
  },
  option: true,
  entropy: (c, p) => {
    const H = c.has("logits") ? entropyOf(c.field("logits"), c.token) : c.entropy;
    const bonus = aggLoss(c, H, p.agg);
    c.output("entropy", H.mul(c.mask));
    c.output("entropy_bonus", bonus);
    return bonus.mul(p.entropy_coef);
  },
});
