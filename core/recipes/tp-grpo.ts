import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import type { Level } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

/** The level of marks, with the tokens tied to it where the batch has their steps. */
const steps = (c: Context): Level => (c.has("turn") ? c.steps("step_correct") : c.levelOf("step_correct"));

/** Runs of equal marks as [mark, steps], and x of each run's first step. */
function thoughts(c: Context, mark: Vec, x: Vec): { runs: [number, number][][]; values: number[][] } {
  const [marks, data] = [mark.values(), x.values()];
  const offsets = mark.level.edge(c.trajectory).offsets as Int32Array;
  const runs: [number, number][][] = [];
  const values: number[][] = [];
  for (let i = 0; i < c.trajectory.size; i++) {
    const [own, first]: [[number, number][], number[]] = [[], []];
    for (let k = offsets[i]; k < offsets[i + 1]; k++) {
      const last = own[own.length - 1];
      if (last?.[0] === marks[k]) last[1]++;
      else {
        own.push([marks[k], 1]);
        first.push(data[k]);
      }
    }
    runs.push(own);
    values.push(first);
  }
  return { runs, values };
}

export default defineRecipe({
  id: "tp-grpo",
  paper: {
    title: "Good Learners Think Their Thinking: Generative PRM Makes Large Reasoning Model More Efficient Math Learner",
    arxiv: "2507.23317",
  },
  stage: ["reward", "advantage"],
  describe: `A judge marks the steps of a solution (step_correct) by reading it; runs of equal marks are thoughts, whose process
rewards only lower wrong stretches of right solutions and spare unused ones of wrong solutions. Without marks
this is GRPO; in training a step is right while the text begins as the demonstration does. The formulas are those of a note on the paper; std_eps and alpha are ours; that the
closing thought carries the outcome alone is inferred from its propositions.`,
  formula: "right: A = o_i − alpha·acc_g·[v = 0]; wrong: A = o_i·[v = 0]; o = (R − μ)/(σ + std_eps)",
  params: {
    alpha: number(0.5, "process reward of a right solution's thought, times the group's share of right ones", {
      min: 0,
    }),
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { step_correct: "ragged" },
  advantage: (c, p) => {
    const outcome = zScore(c.reward, c.group, { eps: p.std_eps });
    if (!c.has("step_correct")) return outcome;
    const step = steps(c);
    const mark = c.field("step_correct");
    const right = c.reward.gt(0);
    const size = right.meanOver(c.group).mul(p.alpha).to(c.trajectory);
    const process = right.where(mark.where(size, size.neg()), mark.where(outcome.neg(), outcome));
    const advantage = right.where(outcome.sub(mark.not().mul(size)), mark.not().mul(outcome));
    const { runs, values } = thoughts(c, mark, process);
    c.output("thoughts", runs);
    c.output("thought_reward", values);
    c.output("advantage_step", advantage);
    return c.token.find(step) ? advantage.to(c.token) : advantage;
  },
  trains: { supply: { turn: "segment", step_correct: "segment-right" } },
});
