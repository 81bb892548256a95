import { choice, defineRecipe, number } from "../recipe.ts";
import { implicitReward, NEEDS_PAIRS, pairMean, pairScores } from "../rl/preference.ts";
import type { Vec } from "../rl/vec.ts";

const SCORE = {
  reverse_kl: (h: Vec) => h,
  forward_kl: (h: Vec) => h.neg().exp().neg(),
  js_divergence: (h: Vec) => h.logSigmoid(),
};

export default defineRecipe({
  id: "dpo-f-divergence",
  paper: {
    title: "Beyond Reverse KL: Generalizing Direct Preference Optimization with Diverse Divergence Constraints",
    source: "huggingface/trl@f2cd577 trl/trainer/dpo_trainer.py",
  },
  stage: ["preference"],
  describe: `DPO under another divergence from the reference than the reverse KL: the implicit reward is f' of the
probability ratio. Here forward KL, Jensen–Shannon, or the reverse KL of DPO itself.`,
  formula: "loss = mean of −ln σ(beta·(s_w − s_l)); s(h) = h, −exp(−h), or ln σ(h)",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    f: choice("reverse_kl", ["reverse_kl", "forward_kl", "js_divergence"], "divergence from the reference"),
  },
  trains: NEEDS_PAIRS,
  loss: (c, p) => {
    const { delta } = pairScores(c, SCORE[p.f](implicitReward(c)));
    return pairMean(delta.mul(p.beta).logSigmoid().neg());
  },
});
