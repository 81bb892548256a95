import { anything, choice, defineRecipe, number, optional } from "../recipe.ts";
import { hingeConstraint, meanScore, rightAndWrong } from "../rl/discriminative.ts";
import { softMaximum } from "../rl/softmax.ts";

export default defineRecipe({
  id: "disco",
  paper: {
    title: "DisCO: Reinforcing Large Reasoning Models with Discriminative Constrained Optimization",
    source: "Optimization-AI/DisCO verl/trainer/ppo/core_algos.py",
  },
  stage: ["objective", "filter"],
  describe: `No advantage, no clip: the mean score of a prompt's right answers is raised above a soft maximum (discob: the
mean) of its wrong ones, all prompts alike, hard or easy, and a squared hinge keeps the KL to the rollout policy under
delta. Right is reward 1, wrong 0; a prompt without both adds 0 and counts. The released code's loss value differs by its
surrogate and its script calls discob for disco-lratio; here value and variant are those of the definition.`,
  formula:
    "J_q = mean_P [s_i − tau·ln mean_N exp(s_j/tau)]; loss = −mean_q J_q + sg(max(beta(K − delta), 0))·K, s_i = mean_t lp or ρ",
  params: {
    variant: choice(
      "disco-logl",
      ["disco-logl", "disco-lratio", "discob-logl", "discob-lratio"],
      "soft maximum or mean (discob) of the wrong scores; score by lp or by ρ",
    ),
    tau: optional(null, "temperature of the soft maximum; null: 10, or tau_Lratio for the ratio's score", {
      min: 1e-6,
    }),
    tau_Lratio: number(1, "temperature for the ratio's score, where tau is null", { min: 1e-6 }),
    beta: number(1000, "strength of the constraint", { min: 0 }),
    delta: number(1e-4, "KL that is free, nats"),
    kl: anything("kl", "estimator of K: low_var_kl is ρ − ln ρ − 1, any other text the mean of lp_old − lp"),
  },
  loss: (c, p) => {
    const ratio = p.variant.endsWith("lratio");
    const s = meanScore(c, ratio ? "lratio" : "logl");
    const { right, wrong, live } = rightAndWrong(c);
    const tau = p.tau ?? (ratio ? p.tau_Lratio : 10);
    const others = p.variant.startsWith("discob") ? s.meanOver(c.group, wrong) : softMaximum(s, c.group, wrong, tau);
    const gap = s.meanOver(c.group, right).sub(others).mul(live);
    const kind = /low_var|rho/.test(p.kl) ? "low_var_kl" : "kl";
    return gap
      .meanOver(c.all)
      .neg()
      .add(hingeConstraint(c, kind, p.beta, p.delta));
  },
});
