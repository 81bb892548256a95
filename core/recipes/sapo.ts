import { choice, defineRecipe, number } from "../recipe.ts";
import { seqMeanTokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { softGate } from "../rl/gate.ts";

const MEAN = "mean over trajectories of token means";

export default defineRecipe({
  id: "sapo",
  paper: { title: "Soft Adaptive Policy Optimization", arxiv: "2511.20347" },
  stage: ["objective"],
  describe: `In place of the clip a sigmoid gate of the token ratio: full slope at ratio 1, fading smoothly on both sides,
faster for negative advantages, whose gradients spread over many unsampled tokens. No token loses its gradient at once.`,
  formula: "f(ρ) = (4/τ)·σ(τ(ρ − 1)), τ by the sign of A; loss = −(1/N) Σ_i (1/T_i) Σ_t f(ρ)·A",
  params: {
    tau_pos: number(1, "sharpness of the gate for A > 0", { min: 1e-6 }),
    tau_neg: number(1.05, "sharpness of the gate for A ≤ 0", { min: 1e-6 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
    aggregation: choice(MEAN, [MEAN], "from token losses to the loss"),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof }),
  gate: (c, ratio, p) => softGate(ratio, c.advantage, p.tau_pos, p.tau_neg),
  aggregate: (c, loss) => seqMeanTokenMean(c, loss),
});
