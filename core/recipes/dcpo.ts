import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { dualClip } from "../rl/gate.ts";

export default defineRecipe({
  id: "dcpo",
  paper: {
    title: "Distribution-Centric Policy Optimization Dominates Exploration-Exploitation Trade-off",
    source: "597358816/DCPO ray_trainer.py",
  },
  stage: ["objective", "advantage"],
  describe: `Holds the entropy at a target without a bonus: the advantage of good rollouts is mixed with the importance weight
towards a hotter version of the policy while the entropy is at or below the target, a cooler one above. (Not the DCPO of
dynamic clipping.) Without a good rollout the share is 0, where the code divides by zero. Token mean, dual clip, no KL.
State: entropy of the last update, −mean lp over the tokens.`,
  formula:
    "A = (1−α)·A_GRPO + α·[R > threshold]·exp(lp_old^T − lp_old); α = α'/(1+α'), α' = min(|H0 − H|, alpha_cap)/share of good rollouts",
  params: {
    entropy_target: number(0.5, "H0, nats", { min: 0 }),
    t_high: number(1.2, "temperature of lp_old^T while H ≤ H0", { min: 1e-6 }),
    t_low: number(0.8, "and above", { min: 1e-6 }),
    alpha_cap: number(0.1, "largest gap to the target that counts", { min: 0 }),
    reward_threshold: number(0.05, "a rollout above is good"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    clip_c: number(3, "dual clip", { min: 1 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    aggregation: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  fields: { logp_old_temp: "token" },
  trains: { supply: { logp_old_temp: "logp-at-temperature" } },
  state: {
    init: () => ({ entropy: 0 }),
    step: (c) => ({ entropy: c.logp.stop().meanOver(c.all, c.mask).neg().value() }),
  },
  sampler: (c, p) => {
    const entropy = c.state["entropy"] as number;
    c.output("temperature", entropy <= p.entropy_target ? p.t_high : p.t_low);
  },
  advantage: (c, p) => {
    const entropy = c.state["entropy"] as number;
    const good = c.reward.gt(p.reward_threshold);
    const share = good.meanOver(c.all);
    const raw = c.number(Math.min(Math.abs(p.entropy_target - entropy), p.alpha_cap)).div(share);
    const alpha = raw.div(raw.add(1));
    c.output("alpha", alpha);
    const towards = good.mul(c.field("logp_old_temp").sub(c.logpOld).exp());
    const group = zScore(c.reward, c.group, { eps: p.adv_eps });
    return alpha.not().mul(group).add(alpha.mul(towards)).mul(c.mask);
  },
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
