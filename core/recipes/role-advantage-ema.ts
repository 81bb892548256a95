import { defineRecipe, none, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { movingBaseline } from "../rl/tracker.ts";

const byRole = (c: Context, decay: number) =>
  movingBaseline(c.reward.values(), c.raw<string[]>("role"), c.state as Record<string, number>, decay);

export default defineRecipe({
  id: "role-advantage-ema",
  paper: {
    title:
      "SPIRAL: Self-Play on Zero-Sum Games Incentivizes Reasoning via Multi-Agent Multi-Turn Reinforcement Learning",
    source: "PrimeIntellect-ai/prime-rl@559b447 src/prime_rl/orchestrator/algo/rae.py",
  },
  stage: ["advantage"],
  describe: `Self-play: the baseline of a trajectory is the moving average of its own role's earlier rewards, in order
of arrival, and not its group, which is not read. State: role → average; with several environments take a key for each
pair.`,
  formula: "A = R − b_role; b_role ← decay·b_role + (1 − decay)·R",
  params: { decay: number(0.95, "of the moving average", { min: 0, max: 1 }) },
  fields: { role: "raw" },
  trains: { refuse: "needs the roles of a game: supply role, one name a trajectory" },
  state: {
    init: () => ({}),
    update: (c, p) => byRole(c, p.decay).after,
  },
  advantage: (c, p) => c.lift(c.trajectory, byRole(c, p.decay).centred),
  kl: none,
});
