import { choice, defineRecipe } from "../recipe.ts";
import { aggregate } from "../rl/aggregate.ts";
import { NEEDS_DEMONSTRATIONS } from "../rl/distill.ts";

export default defineRecipe({
  id: "sft",
  paper: { title: "Supervised fine-tuning", source: "OpenRLHF openrlhf/models/loss.py" },
  stage: ["pipeline", "objective"],
  describe: `No reward, no ratio: the negative log-likelihood of given completions. The token mean runs over the whole
optimiser step; the mean of means leaves out examples without a trained token.`,
  formula: "loss = −Σ m·lp / Σ m",
  params: {
    agg: choice("token-mean", ["token-mean", "seq-mean-token-mean"], "every token alike, or every example alike"),
  },
  trains: NEEDS_DEMONSTRATIONS,
  loss: (c, p) => aggregate(c, c.logp.neg(), p.agg, { nonEmpty: true }),
});
