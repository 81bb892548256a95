import { defineRecipe, flag, none, number } from "../recipe.ts";
import { NEEDS_TEACHER } from "../rl/distill.ts";

export default defineRecipe({
  id: "minillm-advantage",
  paper: {
    title: "MiniLLM: Knowledge Distillation of Large Language Models",
    source: "huggingface/trl@f2cd577 trl/experimental/minillm/minillm_trainer.py",
  },
  stage: ["advantage"],
  describe: `Distillation on the student's own samples: the advantage is what of the log-ratio of teacher (the
reference policy) to rollout policy is still to come. gamma is raised to the absolute position and not divided out
(TRL's quirk); with length_norm a masked token counts 1e-4 in the divisor, padding does not count. gamma 0: each token
its own log-ratio.`,
  formula: "r = m(lp_ref − lp_old); A_t = Σ_{u≥t} gamma^u r_u / Σ_{u≥t} gamma^u·max(m, 1e-4)",
  params: {
    gamma: number(0, "discount by absolute position; 0: no future", { min: 0, max: 1 }),
    length_norm: flag(true, "divide by the weights of the tokens to come"),
  },
  trains: NEEDS_TEACHER,
  advantage: (c, p) => {
    const reward = c.logpRef.sub(c.logpOld).mul(c.mask);
    if (p.gamma === 0) return reward;
    const place = c.number(1, c.token).positionOver(c.trajectory);
    const discount = c.number(p.gamma, c.token).pow(place);
    const toGo = reward.mul(discount).cumulate(c.trajectory, "backward");
    if (!p.length_norm) return toGo;
    return toGo.div(c.mask.max(1e-4).mul(discount).cumulate(c.trajectory, "backward"));
  },
  kl: none,
});
