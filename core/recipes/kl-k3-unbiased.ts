import { defineRecipe, number } from "../recipe.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { tokenRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "kl-k3-unbiased",
  paper: {
    title: "DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models",
    source: "THUDM/slime@624b824 slime/utils/ppo_utils.py; huggingface/trl@f2cd577 trl/trainer/grpo_trainer.py",
  },
  stage: ["objective"],
  describe: `An option: k3 times the ratio to the rollout policy, with gradient through both, which makes value and
gradient unbiased off-policy. Clamped to ±10 after the product, without gradient there; the ratio is the token's.`,
  formula: "beta·clamp(ρ·(exp(d) − d − 1), ±10), d = lp_ref − lp",
  params: { beta: number(0.04, "coefficient", { min: 0 }) },
  option: true,
  kl: (c, p) => klPenalty(c, klToReference(c, "k3").mul(tokenRatio(c)).clamp(-10, 10), p.beta),
});
