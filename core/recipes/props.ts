import { defineRecipe, integer, number } from "../recipe.ts";
import { klEstimate } from "../rl/kl.ts";

export default defineRecipe({
  id: "props",
  paper: {
    title: "On-Policy Policy Gradient Reinforcement Learning Without On-Policy Sampling",
    source: "github NicholasCorrado/PROPS ppo_discrete.py, ppo_continuous.py",
  },
  stage: ["rollout", "sampler"],
  describe: `A behaviour policy φ beside the target θ: between data collections φ starts at θ and is moved away from the actions
that the buffer already holds (PPO clip with advantage −1 on all of them), so that the whole buffer comes closer to being
on-policy. No reward. Stops when stop is true. logp is φ's and logp_target θ's log-probability of each action; the target
step is ordinary ppo-gae on the buffer. The regulariser of the paper's text is 0 in the released code and left out.`,
  formula: "loss = mean max(ρ, clip(ρ, 1 − eps, 1 + eps)), ρ = π_φ/π_θ; kl = mean[(ρ − 1) − ln ρ]",
  params: {
    eps: number(0.3, "clip range: no push once ρ < 1 − eps", { min: 0, max: 1 }),
    target_kl: number(0.01, "KL at which the loop stops, nats", { min: 0 }),
    lr: number(0.001, "learning rate of φ (the trainer's)", { min: 0 }),
    epochs: integer(16, "epochs over the buffer (the trainer's)", { min: 1 }),
    max_grad_norm: number(0.5, "gradient clip (the trainer's)", { min: 0 }),
  },
  fields: { logp: "trajectory", logp_target: "trajectory" },
  loss: (c, p) => {
    const moved = c.logp.sub(c.field("logp_target"));
    const ratio = moved.exp();
    const kl = klEstimate(moved.neg(), "k3").meanOver(c.all).stop();
    c.output("kl", kl);
    c.outputFlags("stop", kl.gt(p.target_kl));
    return ratio.max(ratio.clamp(1 - p.eps, 1 + p.eps)).meanOver(c.all);
  },
  trains: { refuse: "needs a behaviour policy of its own beside the target: supply its logp and logp_target" },
});
