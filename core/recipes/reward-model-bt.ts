import { defineRecipe, optional } from "../recipe.ts";
import { pairMean, pairs } from "../rl/preference.ts";

export default defineRecipe({
  id: "reward-model-bt",
  paper: {
    title: "Training language models to follow instructions with human feedback",
    source: "huggingface/trl@f2cd577 trl/trainer/reward_trainer.py; OpenRLHF/OpenRLHF@3c3be62 loss.py",
  },
  stage: ["preference"],
  describe: `No policy: a reward model's scores of chosen and rejected answers (field reward, differentiated), logistic
in their difference, with an optional margin for each pair and a term that keeps scores around 0.`,
  formula: "loss = mean −ln σ(r_w − r_l − margin) + center·mean (r_w + r_l)²",
  params: { center: optional(null, "weight of the centring term; null: none", { min: 0 }) },
  fields: { margin: "raw" },
  trains: {
    data: "pairs",
    head: "score",
    refuse:
      "trains a reward model, no policy, on pairs of answers: supply its scores as the field reward and the pairs as the field pairs",
  },
  differentiate: ["reward"],
  loss: (c, p) => {
    const { level, chosen, rejected } = pairs(c);
    const [w, l] = [chosen(c.reward), rejected(c.reward)];
    const margin = c.hasRaw("margin") ? c.lift(level, c.raw<number[]>("margin")) : c.number(0);
    c.output("accuracy", pairMean(w.stop().gt(l.stop())));
    const loss = pairMean(w.sub(l).sub(margin).logSigmoid().neg());
    return p.center === null ? loss : loss.add(pairMean(w.add(l).square()).mul(p.center));
  },
});
