import { defineRecipe, integer, number } from "../recipe.ts";

export default defineRecipe({
  id: "rpg",
  paper: {
    title: "Reparameterized Policy Learning for Multimodal Trajectory Optimization",
    arxiv: "2307.10710",
  },
  stage: ["policy", "objective"],
  describe: `A policy with a latent z drawn first and a reparameterised action head, on a variational bound: reward, how well a
learnt posterior tells z from the action, and both entropies. z by the score function, actions path-wise: dreward, dlogp_a,
dlog_q are to be carried on to the action, with log q no part of z's reward. The posterior's own fit, the model-based agent
and intrinsic rewards are left out. State scale: what decay has left of the last three weights.`,
  formula: "loss = −mean(ln π_z·sg(r_z − mean r_z)) − mean(w_r R + w_i ln q − e_a ln π_a), r_z = w_r R − e_z ln π_z",
  params: {
    w_r: number(0.1, "weight of the reward"),
    w_i: number(0.8, "weight of the posterior"),
    e_z: number(0.2, "weight of the latent's entropy"),
    e_a: number(0.2, "weight of the action's entropy"),
    decay: number(0.9995, "factor of w_i, e_z and e_a a step", { min: 0, max: 1 }),
    z_dim: integer(5, "values of the latent (the policy's)", { min: 1 }),
    lr: number(3e-4, "learning rate (the trainer's)", { min: 0 }),
    batch: integer(256, "samples a step (the trainer's)", { min: 1 }),
  },
  fields: { reward: "trajectory", logp_z: "trajectory", logp_a: "trajectory", log_q: "trajectory" },
  differentiate: ["reward", "logp_z", "logp_a", "log_q"],
  state: {
    init: () => ({ scale: 1 }),
    step: (c, p) => ({ scale: (c.state["scale"] as number) * p.decay }),
  },
  loss: (c, p) => {
    const scale = c.state["scale"] as number;
    const [logpZ, logpA, logQ] = [c.field("logp_z"), c.field("logp_a"), c.field("log_q")];
    const reward = c.reward.mul(p.w_r);
    const advantage = reward
      .sub(logpZ.mul(p.e_z * scale))
      .centreOver(c.all)
      .stop();
    const actions = reward.add(logQ.mul(p.w_i * scale)).sub(logpA.mul(p.e_a * scale));
    c.output("advantage_z", advantage);
    c.output("elbo", actions.sub(logpZ.mul(p.e_z * scale)).meanOver(c.all));
    return logpZ.mul(advantage).add(actions).meanOver(c.all).neg();
  },
  trains: { refuse: "needs a policy with a latent and a differentiable reward: supply logp_z, logp_a and log_q" },
});
