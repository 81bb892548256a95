import { choice, defineRecipe, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { cos, sin } from "../rl/scalar.ts";

/** Falls from 1 without a call towards 0. */
const toolPpo = (m: number, c: number): number => cos((m * Math.PI) / (2 * m + c));

/** 1 at the least number n of calls that was enough, falling on both sides; 0 where no rollout was right. */
function toolGrpo(m: number, n: number | null, c: number): number {
  if (n === null) return 0;
  if (n === 0) return m === 0 ? 1 : toolPpo(m, c);
  return sin(((2 * n * m) / (m + n)) * (Math.PI / (2 * n)));
}

/** The prompt of each rollout, where the batch tells prompts apart from step to step. */
const promptsOf = (c: Context): ArrayLike<unknown> => (c.hasRaw("prompt") ? c.raw<ArrayLike<unknown>>("prompt") : []);

/** The fewest calls that were enough at earlier steps, by rollout. */
const remembered = (c: Context): Map<number, number> => {
  const calls = c.state["calls"] as Record<string, number>;
  return new Map(Array.from(promptsOf(c), (prompt, i) => [i, calls[String(prompt)]] as const));
};

export default defineRecipe({
  id: "otc-po",
  paper: { title: "OTC: Optimal Tool Calls via Reinforcement Learning", arxiv: "2504.14870" },
  stage: ["reward"],
  describe: `Correctness times how sparing the rollout was with tools: by its number of calls alone (ppo), or against the fewest
calls of a right rollout of the same prompt in the batch (grpo). A wrong answer has 0. An option: the reward of any group
or value method. The fewest calls are the batch's own, and with a
prompt for each rollout (prompt) those of earlier steps too. alpha and c were not to be read.`,
  formula: "R = alpha·r_tool·correct; r_tool = cos(mπ/(2m + c)) or sin(f·π/(2n)), f = 2nm/(m + n)",
  params: {
    form: choice("grpo", ["grpo", "ppo"], "which r_tool is the reward"),
    c: number(1, "smoothing of the cosine, calls", { min: 1e-9 }),
    alpha: number(1, "scale of the reward"),
  },
  fields: { tool_calls: "trajectory", prompt: "raw" },
  option: true,
  reward: (c, p) => {
    const calls = c.field("tool_calls");
    const right = c.field("correct");
    const solved = right.gt(0).maxOver(c.group).values();
    const least = right.gt(0).where(calls, Number.MAX_VALUE).minOver(c.group).values();
    const group = c.trajectory.edge(c.group).index;
    const seen = remembered(c);
    const fewest = [...least].map((n, g) => {
      const before = seen.get(group.indexOf(g));
      return solved[g] === 1 ? Math.min(n, before ?? n) : (before ?? null);
    });
    const ppo = calls.values().map((m) => toolPpo(m, p.c));
    const grpo = calls.values().map((m, i) => toolGrpo(m, fewest[group[i]], p.c));
    const shaped = (tool: Float64Array) => c.lift(c.trajectory, tool).mul(right).mul(p.alpha);
    c.output("optimal_calls", fewest);
    c.output("r_tool_ppo", [...ppo]);
    c.output("r_tool_grpo", [...grpo]);
    c.output("reward_shaped_ppo", shaped(ppo));
    c.output("reward_shaped_grpo", shaped(grpo));
    return shaped(p.form === "ppo" ? ppo : grpo);
  },
  state: {
    init: () => ({ calls: {} }),
    update: (c) => {
      const calls = { ...(c.state["calls"] as Record<string, number>) };
      const [right, used] = [c.field("correct").values(), c.field("tool_calls").values()];
      Array.from(promptsOf(c), String).forEach((prompt, i) => {
        if (right[i] > 0) calls[prompt] = Math.min(used[i], calls[prompt] ?? used[i]);
      });
      return { calls };
    },
  },
  trains: { refuse: "needs the number of tool calls of each rollout: supply tool_calls" },
});
