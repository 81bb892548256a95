import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { groupOrder } from "../rl/groups.ts";
import { listsOf } from "../rl/nested.ts";

export default defineRecipe({
  id: "stp-grpo",
  paper: {
    title: "Training Task Reasoning LLM Agents for Multi-turn Task Planning via Single-turn Reinforcement Learning",
    arxiv: "2509.20616",
  },
  stage: ["pipeline", "reward", "theory"],
  describe: `Planning as one-step problems: at every state of an expert's shortest trajectory the next action is rewarded for being
the expert's (and, ours, for keeping the format); success_lower_bound is what the agreement at each state promises for the
whole plan. The rest is GRPO; deviation and eps are ours. Expert data and the supervised start are left out; without
actions the batch's reward counts.`,
  formula: "r = [action = expert's]·[format ok]; A = (r − μ)/(σ + std_eps); P(success) ≥ Π_t π(a*_t | s_t)",
  params: {
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { action: "raw", expert_action: "raw", format_ok: "trajectory", per_state_success: "raw" },
  sampler: (c) => {
    if (!c.hasRaw("per_state_success")) return;
    c.output(
      "success_lower_bound",
      c.raw<number[]>("per_state_success").reduce((a, b) => a * b, 1),
    );
  },
  reward: (c) => {
    if (!c.hasRaw("action")) return c.reward;
    const [wanted, actions] = [listsOf<unknown>(c, "expert_action"), listsOf<unknown>(c, "action")];
    if (wanted.length !== c.group.size || actions.length !== c.trajectory.size) {
      c.refuse(
        `stp-grpo: ${wanted.length} expert_action for ${c.group.size} groups, ${actions.length} action for ${c.trajectory.size} rollouts`,
        "give one each",
      );
    }
    const rank = new Map(groupOrder(c).map((g, k) => [g, k]));
    const group = c.trajectory.edge(c.group).index;
    const same = actions.map((action, i) => action === wanted[rank.get(group[i]) as number]);
    const format = c.optional("format_ok") ?? c.number(1, c.trajectory);
    const reward = c.flags(c.trajectory, same).mul(format);
    c.output("reward", reward);
    return reward;
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.std_eps }),
  trains: { refuse: "needs an expert's action at each state: supply action, expert_action and format_ok" },
});
