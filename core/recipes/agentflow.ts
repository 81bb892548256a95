import { anything, defineRecipe, number } from "../recipe.ts";
import { nestedMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { turnsOf } from "../rl/turns.ts";

export default defineRecipe({
  id: "agentflow",
  paper: { title: "In-the-Flow Agentic System Optimization for Effective Planning and Tool Use", arxiv: "2510.05592" },
  stage: ["pipeline", "advantage", "application"],
  describe: `Planner, executor, verifier and generator share a memory; the planner alone is trained, inside the live loop,
and the final outcome is the reward of each of its turns. Tokens are averaged inside a turn, turns inside a trajectory,
trajectories inside a group: long trajectories do not weigh more (the released trainer normalises over turn rows and
takes a token mean; this is the paper's form). Without the field turn, a trajectory is one turn.`,
  formula:
    "A = (R − mean_g)/(std_g + adv_eps); loss = mean_g mean_i mean_k (1/|a_k|) Σ_t [−min(ρA, clip(ρ)A) + beta·k3]",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.3, "clip range above 1", { min: 0 }),
    beta: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    aggregation: anything("mean over groups, trajectories, turns, tokens", "in words; there is this one alone"),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof }).mul(c.mask),
  aggregate: (c, loss) => nestedMean(c, loss, turnsOf(c), c.trajectory, c.group),
});
