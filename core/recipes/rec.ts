import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import { logRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "rec",
  paper: {
    title:
      "Group-Relative REINFORCE Is Secretly an Off-Policy Algorithm: Demystifying Some Myths About GRPO and Its Friends",
    source: "github modelscope/Trinity-RFT rec_policy_loss.py",
  },
  stage: ["objective", "theory"],
  describe: `Group-relative REINFORCE without a deviation as an off-policy method with three choices: the weight of a row,
the clip as an on/off switch by the ratio (keep_token), a regulariser that acts whether on or off. one-side with is has
GRPO's gradient; forward-kl shifts the advantage. The ratio is constant for the derivative. Data shaping is left out.`,
  formula:
    "loss = Σ m·(−a·on·lp + reg)/Σ m; a = A | A·ρ | A·exp(A/temperature); reg = 0 | tau·(lp − lp_old)² | −tau·lp",
  params: {
    weight: choice("none", ["none", "is", "advantage"], "a: A, A·ρ or A·exp(A/temperature)"),
    clip: choice("one-side", ["none", "one-side", "two-side", "ring"], "where a token is on"),
    reg: choice("none", ["none", "k2", "forward-kl"], "regulariser"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    eps_lo_outer: number(0.6, "ring: on again for A ≥ 0 below 1 minus this", { min: 0, max: 1 }),
    eps_hi_outer: number(2, "ring: on again for A ≤ 0 above 1 plus this", { min: 0 }),
    tau: number(0, "coefficient of the regulariser", { min: 0 }),
    temperature: number(1, "of the advantage weight", { min: 1e-6 }),
    aggregation: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
  },
  advantage: (c) => centred(c.reward, c.group).to(c.token).mul(c.mask),
  gate: (c, ratio, p) => {
    const [a, rho] = [c.advantage, ratio.stop()];
    const [up, down] = [a.ge(0), a.le(0)];
    const inner = rho.inside(1 - p.eps_lo, 1 + p.eps_hi);
    const outer = up.and(rho.le(1 - p.eps_lo_outer)).or(down.and(rho.ge(1 + p.eps_hi_outer)));
    const side = up.and(rho.le(1 + p.eps_hi)).or(down.and(rho.ge(1 - p.eps_lo)));
    const on = {
      none: c.number(1, c.token),
      "one-side": side,
      "two-side": inner,
      ring: inner.or(outer),
    }[p.clip];
    c.outputFlags("keep_token", on);
    const scale = { none: c.number(1), is: rho, advantage: a.div(p.temperature).exp() }[p.weight];
    const policy = a.mul(scale).mul(on).mul(c.logp).neg();
    if (p.reg === "none") return policy;
    return policy.add((p.reg === "k2" ? logRatio(c).square() : c.logp.neg()).mul(p.tau));
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
