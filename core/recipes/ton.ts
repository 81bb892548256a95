import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

const SHAPE = /^<think>[\s\S]*?<\/think>\s*<answer>[\s\S]*?<\/answer>$/;
const THOUGHT = /<think>([\s\S]*?)<\/think>/;
const ANSWER = /<answer>([\s\S]*?)<\/answer>/;

/** What stands in the first answer tags, or the whole text where there are none. */
const answerOf = (text: string): string => (ANSWER.exec(text)?.[1] ?? text).trim();

export default defineRecipe({
  id: "ton",
  paper: {
    title: "Think or Not? Selective Reasoning via Reinforcement Learning for Vision-Language Models",
    arxiv: "2505.16854",
    source: "github kokolerk/TON src/r1-v/src/open_r1/grpo.py",
  },
  stage: ["pipeline", "reward", "application"],
  describe: `GRPO after a supervised stage in which half of the thoughts were emptied, so that the policy knows both kinds; the
format reward accepts an empty thought, and no reward asks for short answers. Answers are compared as text (no symbolic
check, no points on a screen). The supervised stage is left out; without completions the batch's reward counts.`,
  formula: "R = w_accuracy·[answer = gold] + w_format·[<think>…</think><answer>…</answer>]; A = (R − μ)/(σ + adv_eps)",
  params: {
    w_accuracy: number(1, "weight of a right answer"),
    w_format: number(1, "weight of the format"),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
    thought_dropout: number(0.5, "share of thoughts emptied in the supervised stage (the trainer's)", {
      min: 0,
      max: 1,
    }),
  },
  fields: { completion: "trajectory", solution: "trajectory" },
  reward: (c, p) => {
    if (!c.hasRaw("completion")) return c.reward;
    const texts = c.raw<string[]>("completion");
    const gold = c.raw<string[]>("solution");
    const accuracy = texts.map((text, i) => (answerOf(text) === answerOf(String(gold[i])) ? 1 : 0));
    const format = texts.map((text) => (SHAPE.test(text) ? 1 : 0));
    c.output("rewards", { accuracy, format });
    c.output(
      "skip_thought",
      texts.map((text) => THOUGHT.exec(text)?.[1].trim() === ""),
    );
    return c.lift(c.trajectory, accuracy).mul(p.w_accuracy).add(c.lift(c.trajectory, format).mul(p.w_format));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  trains: { supply: { completion: "completion", solution: "solution" } },
});
