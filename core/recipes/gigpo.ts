import { choice, defineRecipe, number } from "../recipe.ts";
import { centred, keepSingles, zScore } from "../rl/baseline.ts";

export default defineRecipe({
  id: "gigpo",
  paper: { title: "Group-in-Group Policy Optimization for LLM Agent Training", arxiv: "2505.10978" },
  stage: ["advantage"],
  describe: `Two levels of groups: the episode's advantage among the prompt's trajectories, and each step's among all steps
of that prompt that were taken in the same state (the anchor). A step is compared by its discounted return.
Text similarity between states is left out: anchors are equal keys. A set of one has step advantage 0; as in the code, a
group of one keeps its raw reward (mean 0, deviation 1).`,
  formula: "A_{i,t} = (R_i − mean_g)[/std] + omega·(r̃_{i,k} − mean over (group, state))[/std]",
  params: {
    omega: number(1, "weight of the step's advantage"),
    gamma: number(0.95, "discount of a step", { min: 0, max: 1 }),
    mode: choice("mean_norm", ["mean_norm", "mean_std_norm"], "whether to divide by the deviation"),
    adv_eps: number(1e-6, "added to the deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
  },
  fields: { step_reward: "ragged" },
  trains: { supply: { turn: "segment", step_reward: "segment-outcome", step_state: "segment-state" } },
  advantage: (c, p) => {
    const step = c.steps("step_reward");
    const anchor = c.keyed("anchor", step, step.edge(c.group).index, c.raw<string[][]>("step_state").flat());
    const ret = c.field("step_reward").recur(c.trajectory, "backward", p.gamma);
    const scaled = p.mode === "mean_std_norm";
    const options = { eps: p.adv_eps, ddof: p.std_ddof };
    const episode = scaled
      ? zScore(c.reward, c.group, { ...options, rawSingles: true })
      : keepSingles(c.reward, c.group, centred(c.reward, c.group));
    const local = scaled ? zScore(ret, anchor, options) : centred(ret, anchor);
    const advantage = local.mul(p.omega).add(episode);
    c.output("step_return", ret);
    c.output("advantage_step", advantage);
    return advantage.to(c.token);
  },
});
