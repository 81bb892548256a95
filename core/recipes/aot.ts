import { defineRecipe, number } from "../recipe.ts";
import { NEEDS_PAIRS, pairMean, pairs, smoothedLogistic, sumLogp } from "../rl/preference.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "aot",
  paper: {
    title: "Distributional Preference Alignment of LLMs via Optimal Transport",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Distributional preference: the policy's margins, sorted over the batch, should lie above the reference's
sorted margins, quantile by quantile (one-dimensional optimal transport).`,
  formula:
    "x = Σ lp_w − Σ lp_l, y that of lp_ref; δ = sorted x − sorted y; loss = mean of −(1−ε) ln σ(beta·δ) − ε ln σ(−beta·δ)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    label_smoothing: number(0, "share of pairs whose label is wrong", { min: 0, max: 0.5 }),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { chosen, rejected } = pairs(c);
    const margins = (logp: Vec) =>
      chosen(sumLogp(c, logp))
        .sub(rejected(sumLogp(c, logp)))
        .sortOver(c.all);
    return pairMean(smoothedLogistic(margins(c.logp).sub(margins(c.logpRef)).mul(p.beta), p.label_smoothing));
  },
});
