import { anything, choice, defineRecipe, integer, number } from "../recipe.ts";
import { hingeConstraint, meanScore, rightAndWrong } from "../rl/discriminative.ts";
import { softMaximumSurrogate, softmaxOver } from "../rl/softmax.ts";

export default defineRecipe({
  id: "drpo-decoupled",
  paper: {
    title: "DRPO: Efficient Reasoning via Decoupled Reward Policy Optimization",
    source: "Optimization-AI/DRPO verl/trainer/ppo/core_algos.py compute_policy_loss_drpo",
  },
  stage: ["objective", "advantage"],
  describe: `Shorter reasoning without punishing the right: the length bonus only re-weights a prompt's right answers among
themselves, so that a long right answer is never pushed down; wrong answers enter through a soft maximum, and a squared
hinge keeps the KL to the rollout policy under delta (as DisCO). The value of the soft maximum is the authors' surrogate
(the constant tau; its gradient is the true one): compare gradients, not values. A prompt without both sides adds 0.`,
  formula:
    "omega = softmax_P((1 − T/max_length)/lambda); J_q = Σ_P omega·s − tau·S/sg(S), S = Σ_N exp(s/tau); loss = −mean_q J_q + sg(max(beta(K − delta), 0))·K",
  params: {
    lambda: number(0.1, "temperature of the length bonus: small favours the shortest", { min: 1e-6 }),
    tau: number(10, "temperature of the soft maximum of the wrong scores", { min: 1e-6 }),
    beta: number(1000, "strength of the constraint", { min: 0 }),
    delta: number(1e-4, "KL that is free, nats"),
    kl_type: choice("kl", ["kl", "low_var_kl"], "K: mean of lp_old − lp, or of ρ − ln ρ − 1"),
    max_length: integer(512, "length of the response buffer: the generation limit, in tokens", {
      min: 1,
      config: "maxTokens",
    }),
    note: anything("", "free text of a case"),
  },
  loss: (c, p) => {
    const s = meanScore(c, "logl");
    const { right, wrong, live } = rightAndWrong(c);
    const omega = softmaxOver(c.length.div(-p.max_length).add(1).div(p.lambda), c.group, right);
    const gap = omega
      .mul(s)
      .sumOver(c.group)
      .sub(softMaximumSurrogate(s, c.group, wrong, p.tau));
    return gap
      .mul(live)
      .meanOver(c.all)
      .neg()
      .add(hingeConstraint(c, p.kl_type, p.beta, p.delta));
  },
});
