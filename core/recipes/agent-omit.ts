import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

interface Turn {
  env_reward: number;
  omits_observation: boolean;
  empty_thought: boolean;
  saved_observation: number;
  saved_thought: number;
  context_length: number;
}

/** Shares of the context that were saved at steps with a positive reward of the environment. */
function omissionBonus(turns: readonly Turn[]): number {
  let bonus = 0;
  for (const t of turns) {
    if (!(t.env_reward > 0 && t.context_length > 0)) continue;
    if (t.omits_observation) bonus += t.saved_observation / t.context_length;
    if (t.empty_thought) bonus += t.saved_thought / t.context_length;
  }
  return bonus;
}

export default defineRecipe({
  id: "agent-omit",
  paper: {
    title:
      "Agent-Omit: Training Efficient LLM Agents for Adaptive Thought and Observation Omission via Agentic Reinforcement Learning",
    arxiv: "2602.04284",
  },
  stage: ["rollout", "reward", "pipeline"],
  describe: `An agent that may leave thoughts empty and declare old observations as no longer needed. GRPO with a reward that
pays for saved context, but only at steps that the environment rewarded: a failure earns nothing by omitting. The reward
is always mixed (the released webshop code mixes only at the answer). Dual sampling of single-turn omissions (its trainer
file is missing) and the cold start are left out.`,
  formula:
    "R = (1 − omega)·r_env + omega·D, D = Σ over rewarded steps of saved/context; A = (R − mean_g)/(std_g + std_eps)",
  params: {
    omega: number(0.2, "weight of the omission bonus", { min: 0, max: 1 }),
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    beta: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
  },
  fields: { turns: "raw" },
  trains: { refuse: "needs an agent's steps with what each saved: supply turns" },
  reward: (c, p) => {
    const turns = c.raw<Turn[][]>("turns");
    const bonus = c.lift(c.trajectory, turns.map(omissionBonus));
    const outcome = c.lift(
      c.trajectory,
      turns.map((list) => list[list.length - 1]?.env_reward ?? 0),
    );
    c.output("omission_bonus", bonus);
    return outcome.mul(1 - p.omega).add(bonus.mul(p.omega));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.std_eps }),
});
