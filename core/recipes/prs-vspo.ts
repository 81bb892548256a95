import { choice, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import type { Level } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

const DIVIDE = "divide by multiplicity";

/** Prompts in order of first appearance. */
const prompts = (c: Context): Level => c.keyed("prompt", c.trajectory, c.trajectory.edge(c.group).index);

/** 1/c_q over prompts, 0 where c_q is 0; 1 where the batch says nothing. */
function share(c: Context, smoothing: string): Vec {
  const level = prompts(c);
  if (smoothing === "none" || !c.hasRaw("multiplicity")) return c.number(1, level);
  return c.number(1, level).div(c.graph.constant(level, c.raw<number[]>("multiplicity")));
}

export default defineRecipe({
  id: "prs-vspo",
  paper: {
    title: "Enhancing Agentic RL with Progressive Reward Shaping and Value-based Sampling Policy Optimization",
    arxiv: "2512.07478",
  },
  stage: ["reward", "sampler", "filter", "advantage"],
  describe: `Prompts of equal rewards leave the step, and their places go to others drawn by value V = (r_max − mean)·deviation
(outputs task_value, sampling_weight); a prompt repeated c_q times (multiplicity) has its advantage divided by c_q (output
advantage_smoothed). That smoothing is a reconstruction. The amounts of the progressive reward were not to be had: left out.`,
  formula: "V_q = (r_max − μ_q)σ_q; A = (R − μ)/(std + adv_eps)/c_q; PPO clip + beta·k3",
  params: {
    r_max: number(1, "largest reward"),
    std_ddof_value: number(0, "divisor n − ddof of the variance in V", { min: 0, max: 1 }),
    std_ddof_adv: number(1, "divisor n − ddof of the variance in A", { min: 0, max: 1 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    smoothing: choice(DIVIDE, [DIVIDE, "none"], "what a repeated prompt's advantage becomes"),
    beta: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
  },
  fields: { multiplicity: "raw" },
  trains: { supply: { multiplicity: "multiplicity" } },
  sampler: (c, p) => {
    const level = prompts(c);
    const deviation = c.reward.stdOver(level, { ddof: p.std_ddof_value });
    const value = c.reward.meanOver(level).sub(p.r_max).neg().mul(deviation);
    c.output("task_value", value);
    c.output("sampling_weight", value.div(value.sumOver(c.all)));
  },
  advantage: (c, p) => {
    const score = zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof_adv });
    c.output("advantage_smoothed", score.mul(share(c, p.smoothing)));
    return score;
  },
  filter: (c) => ({ keep: c.reward.maxOver(c.group).ne(c.reward.minOver(c.group)).to(c.trajectory), leftOut: true }),
  weight: (c, p) => share(c, p.smoothing).to(c.trajectory),
});
