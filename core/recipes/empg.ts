import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { nextChosen, turnsOf } from "../rl/turns.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "empg",
  paper: {
    title: "Harnessing Uncertainty: Entropy-Modulated Policy Gradients for Long-Horizon LLM Agents",
    arxiv: "2509.09265",
  },
  stage: ["advantage"],
  describe: `The outcome's advantage is scaled step by step by the step's own entropy, confident steps up, uncertain ones
down, and a step whose next one is confident gets a bonus; the mean over the batch's steps is taken off. A step is the
trained tokens of one turn (without the field turn: a trajectory); a group without variance still has the bonus.
PPO clip as it is, no KL.`,
  formula:
    "A_{i,s} = A_i·g_s + zeta·exp(−k_f·Ĥ_{s+1}) less its mean over all steps; g = exp(−k·Ĥ)/mean exp(−k·Ĥ), Ĥ the batch's min-max of step entropy",
  params: {
    k: number(1, "steepness of the scale", { min: 0 }),
    k_f: number(1, "steepness of the bonus", { min: 0 }),
    zeta: number(0.1, "weight of the bonus (0.1 in the paper's listing)", { min: 0 }),
    norm_eps: number(1e-8, "added to the range and to the mean", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variance: n − 1 or n"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const a = zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std === "sample" ? 1 : 0 });
    const step = turnsOf(c);
    // Turns without a trained token (observations) are no steps.
    const real = c.mask.sumOver(step).gt(0);
    const h = c.entropy.meanOver(step, c.mask);
    const low = real.where(h, h.maxOver(c.all)).minOver(c.all);
    const high = real.where(h, h.minOver(c.all)).maxOver(c.all);
    const norm = h.sub(low).div(high.sub(low).add(p.norm_eps));
    const confidence = norm.mul(-p.k).exp();
    const scale = confidence.div(confidence.meanOver(c.all, real).add(p.norm_eps));
    const bonus = nextChosen(c, norm.mul(-p.k_f).exp(), real).mul(p.zeta);
    const steps = scale.mul(a).add(bonus);
    const flags = real.values();
    const list = (x: Vec): number[] => [...x.values()].filter((_, s) => flags[s] === 1);
    c.output("step_entropy_norm", list(norm));
    c.output("weight", list(scale));
    return steps.sub(steps.meanOver(c.all, real)).to(c.token).mul(c.mask);
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
});
