import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { weightedScore } from "../rl/gate.ts";
import type { Vec } from "../rl/vec.ts";

/** KL(Bernoulli(q) ‖ Bernoulli(p)) of taking the token or not, q before and p now. */
function bernoulliKl(c: Context): { p: Vec; q: Vec; k: Vec } {
  const lp = c.logp.stop();
  const p = lp.exp();
  const q = c.logpOld.exp();
  const rest = (x: Vec): Vec => x.not().max(0).add(1e-8).log();
  return { p, q, k: q.mul(c.logpOld.sub(lp)).add(q.not().mul(rest(q).sub(rest(p)))) };
}

export default defineRecipe({
  id: "dppo-kl",
  paper: {
    title: "Rethinking the Trust Region in LLM Reinforcement Learning",
    source: "verl verl/trainer/ppo/core_algos.py",
  },
  stage: ["objective"],
  describe: `A token is dropped if the KL between taking it or not, before and now, exceeds delta and its probability has moved
in the direction its advantage pushes. The ratio, capped, is a weight without gradient. The advantage is plain GRPO's,
no KL term.`,
  formula: "ℓ = −A·sg(min(ρ, ratio_cap)·valid)·lp; valid: k ≤ delta or (A > 0: p ≤ q, else p ≥ q), k = KL(q ‖ p)",
  params: {
    delta_lo: number(0.05, "largest KL where A ≤ 0, nats", { min: 0 }),
    delta_hi: number(0.05, "largest KL where A > 0, nats", { min: 0 }),
    ratio_cap: number(20, "largest weight", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  gate: (c, ratio, { delta_lo, delta_hi, ratio_cap }) => {
    const { p, q, k } = bernoulliKl(c);
    const valid = c.advantage.gt(0).where(k.le(delta_hi).or(p.le(q)), k.le(delta_lo).or(p.ge(q)));
    return weightedScore(c, ratio, c.advantage, null, ratio_cap).mul(valid);
  },
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
