import { anything, choice, defineRecipe, flag, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";

const perturbed = (c: Context) => c.optional("logp_perturbed") ?? c.logp;

export default defineRecipe({
  id: "alp",
  paper: {
    title: "Adaptive Layerwise Perturbation: Unifying Off-Policy Corrections for LLM RL",
    arxiv: "2603.19470",
  },
  stage: ["update", "objective"],
  describe: `One ratio for stale weights and for an inference engine that is not the trainer: the policy with noise in its
hidden states over what the sampler reported, clipped widely and dually; no recomputed lp_old. dlogp is the derivative by
the perturbed log-probability; a clamped log-ratio has none. Token or whole-sequence ratio; mean over all tokens, no KL.
Training passes add σ_l·ξ to the hidden states before layer l, log σ_l learned at a rate of its own, fresh in every step; at
precision 12 much of a σ below 1e-4 is rounded away in products (the authors' bf16 rounds more). sigma_init 0: no noise.`,
  formula:
    "w = exp(clamp(L, ±20)), L_t = lp'_t − lp_rollout,t or its sum over the sequence; loss = mean_t dual-clip(w, A)",
  params: {
    level: choice("token", ["token", "sequence"], "level of the ratio"),
    geometric: flag(false, "sequence: the mean of the log-ratios in place of their sum"),
    eps_lo: number(0.5, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(3, "clip range above 1", { min: 0 }),
    dual_clip: number(3, "bound of the loss of A < 0, in units of −A", { min: 1 }),
    log_ratio_clamp: number(20, "clamp of the log-ratio on both sides", { min: 0 }),
    std: choice("unbiased", ["unbiased", "population"], "divisor of the group's variance: n − 1 or n"),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    sigma_init: number(1e-6, "first σ of every layer; 0: no noise", { min: 0 }),
    sigma_lr: number(5e-4, "learning rate of log σ", { min: 0 }),
    aggregate: anything("token mean over the batch", "the aggregation in words; there is this one alone"),
  },
  fields: { logp_perturbed: "token" },
  differentiate: ["logp_perturbed"],
  trains: { noise: { scale: "sigma_init", learningRate: "sigma_lr" } },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "unbiased" ? 1 : 0 }),
  ratio: (c, p) => {
    const lp = perturbed(c);
    const d = lp.sub(c.logpRollout);
    const total = d.mul(c.mask).sumOver(c.trajectory);
    const whole = p.geometric ? total.div(c.trained.max(1)) : total;
    const log = p.level === "token" ? d : whole.stop().add(lp.sub(lp.stop()));
    const w = log.clamp(-p.log_ratio_clamp, p.log_ratio_clamp).exp();
    c.output("weight", w);
    return w;
  },
  gate: (c, w, p) => dualClip(c, w, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.dual_clip),
  kl: none,
  aggregate: (c, loss) => {
    const mean = tokenMean(c, loss);
    if (c.has("logp_perturbed")) c.output("dlogp", gradients(mean, [perturbed(c)])[0]);
    return mean;
  },
});
