import { choice, defineRecipe, number, range } from "../recipe.ts";
import { onLastToken } from "../rl/credit.ts";
import { klEstimate } from "../rl/kl.ts";

export default defineRecipe({
  id: "kl-in-reward",
  paper: {
    title: "Fine-Tuning Language Models from Human Preferences",
    source:
      "OpenRLHF/OpenRLHF@3c3be62 openrlhf/models/utils.py; verl-project/verl@1dda039 verl/trainer/ppo/ray_trainer.py (apply_kl_penalty)",
  },
  stage: ["reward"],
  describe: `An option: the KL to the reference as part of the token reward, where the advantage sees it, and not of
the loss. The outcome reward is clipped and stands on the last trained token, so it serves advantages that read token
rewards. A beta of 0 or less: no penalty.`,
  formula: "r_t = −beta·k(lp_old, lp_ref) on trained tokens, plus clip(R) on the last; k clamped to ±10",
  params: {
    beta: number(0.01, "coefficient"),
    kind: choice("k1", ["k1", "k2", "k3"], "estimator"),
    reward_clip: range([-10, 10], "clip of the outcome reward; null: none"),
  },
  option: true,
  reward: (c, p) => {
    const k = klEstimate(c.logpOld.sub(c.logpRef), p.kind, { outer: 10 }).mul(c.mask);
    c.output("kl", k);
    const [lo, hi] = p.reward_clip ?? [null, null];
    return onLastToken(c, c.reward.clamp(lo, hi)).sub(k.mul(Math.max(0, p.beta)));
  },
});
