import { choice, defineRecipe, none, number } from "../recipe.ts";
import { seqMeanTokenSum } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import { reportClip, score } from "../rl/gate.ts";
import { tokenRatio } from "../rl/ratio.ts";

const SUM = "sum over tokens, mean over responses";

export default defineRecipe({
  id: "minirl",
  paper: { title: "Stabilizing Reinforcement Learning with LLMs: Formulation and Practices", arxiv: "2512.01374" },
  stage: ["objective", "rollout"],
  describe: `REINFORCE whose token loss stays a first-order approximation of the sequence objective: no deviation, no
division by the length, the whole weight between training engine and inference engine (capped from above, constant), and
stale tokens gated by the clip test of lp − lp_old. Outputs weight = M·w. Routing replay of mixtures of experts is left out.`,
  formula: "w = sg(min(exp(lp − lp_rollout), is_cap)); loss = −(1/N) Σ_i Σ_t m·M·w·A_i·lp; M = 0 past the clip range",
  params: {
    eps_lo: number(0.2, "gate of negative advantages below 1", { min: 0, max: 1 }),
    eps_hi: number(0.27, "gate of positive advantages above 1", { min: 0 }),
    is_cap: number(5, "largest weight", { min: 0 }),
    aggregate: choice(SUM, [SUM], "a length in the denominator would break the approximation"),
  },
  advantage: (c) => centred(c.reward, c.group),
  gate: (c, ratio, p) => {
    const [rho, a] = [ratio.stop(), c.advantage];
    reportClip(c, ratio, a, { lo: p.eps_lo, hi: p.eps_hi });
    const past = a
      .gt(0)
      .and(rho.gt(1 + p.eps_hi))
      .or(a.lt(0).and(rho.lt(1 - p.eps_lo)));
    const open = past.not();
    const weight = tokenRatio(c, { old: c.logpRollout }).min(p.is_cap).stop().mul(open);
    c.outputFlags("keep_token", open);
    c.output("weight", weight);
    return score(c, c.advantage).mul(weight);
  },
  kl: none,
  aggregate: (c, loss) => seqMeanTokenSum(c, loss),
});
