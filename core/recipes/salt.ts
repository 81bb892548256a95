import { defineRecipe, integer, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { listLevel, sameShape } from "../rl/nested.ts";

export default defineRecipe({
  id: "salt",
  paper: {
    title: "SALT: Step-level Advantage Assignment for Long-horizon Agents via Trajectory Graph",
    arxiv: "2510.20022",
  },
  stage: ["advantage"],
  describe: `Steps of one prompt's rollouts as edges (state, action, next state) of a graph: equal edges are merged and have the
mean of their trajectories' advantages, so that only the steps where good and bad rollouts part are credited. A revisit
counts again. Reconstruction from the abstract. Outputs advantage_trajectory and advantage_step.`,
  formula: "A_edge = mean of A_i over all occurrences of (history, state, action, next) in the group",
  params: {
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    history: integer(0, "earlier states that belong to an edge's key", { min: 0 }),
  },
  fields: { step_state: "raw", step_action: "raw", step_next: "raw" },
  advantage: (c, p) => {
    sameShape(c, 2, "step_state", "step_action", "step_next");
    const state = c.raw<string[][]>("step_state");
    const [action, next] = [c.raw<string[][]>("step_action"), c.raw<string[][]>("step_next")];
    const step = listLevel(c, "step_state", state, "turn");
    const keys = state.flatMap((row, i) =>
      row.map((_, k) => JSON.stringify([row.slice(Math.max(0, k - p.history), k + 1), action[i][k], next[i][k]])),
    );
    const edge = c.keyed("edge", step, step.edge(c.group).index, keys);
    const advantage = zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof });
    const merged = advantage.to(step).meanOver(edge).to(step);
    c.output("advantage_trajectory", advantage);
    c.output("advantage_step", merged);
    return c.token.find(step) ? merged.to(c.token) : merged;
  },
  trains: {
    supply: { turn: "segment", step_state: "segment-state", step_action: "segment-text", step_next: "segment-next" },
  },
});
