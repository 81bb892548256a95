import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { ppoClip } from "../rl/gate.ts";
import { sameShape } from "../rl/nested.ts";
import { occurrences } from "../rl/text.ts";

/** Markers that each template asks for, each exactly once; none: any form is right. */
const MARKERS: Record<string, readonly string[]> = {
  "deepseek-r1": ["<think>", "</think>", "<answer>", "</answer>"],
  "open-r1": ["<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>"],
  reflective_prompt: ["<solution>\n", "\n</solution>\n", "\n<check>\nLet's verify step by step", "\n</check>"],
  lm_eval_prompt1: ["The final answer is:"],
  lm_eval_prompt4: ["The final answer is:"],
  "qwen-math": [],
  simplerl: [],
  formal: [],
  abel: [],
  lm_eval_prompt8: [],
  plain: [],
  boxed: [],
  simple: [],
};
const TEACHER = "-teacher";

/** The markers of a template; of a teacher's variant the prompt holds the first already. Undefined: no such template. */
function markersOf(template: string): readonly string[] | undefined {
  if (!template.endsWith(TEACHER)) return MARKERS[template];
  return MARKERS[template.slice(0, -TEACHER.length)]?.slice(1);
}

export default defineRecipe({
  id: "prompt-aug-grpo",
  paper: {
    title: "Prompt Augmentation Scales up GRPO Training on Mathematical Reasoning",
    source: "github wenquanlu/prompt-augmentation-GRPO rl_dataset.py, verl/utils/reward_score/format_reward.py",
  },
  stage: ["sampler", "reward"],
  describe: `Each fetch of a question wears a template drawn uniformly from a pool, all its rollouts the same one; the reward is
correctness plus how well the completion keeps the template's form. Drawing the template is the task's: it supplies template
and completions by trajectory, and without them every form is right. DAPO's clip and token mean, no KL. Quirk of the code:
a group of one keeps its raw reward over 1 + adv_eps.`,
  formula: "R = w_correct·[correct] + w_format·(share of the template's markers that occur exactly once)",
  params: {
    w_correct: number(1, "weight of correctness"),
    w_format: number(1, "weight of the form"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    beta: number(0, "coefficient of the k3 penalty to the reference", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { template: "raw", completions: "raw" },
  reward: (c, p) => {
    const templates = c.hasRaw("template") ? c.raw<string[]>("template") : [];
    if (c.hasRaw("template")) sameShape(c, 1, "correct", "template", "completions");
    const texts = templates.length > 0 ? c.raw<string[]>("completions") : [];
    const format = Float64Array.from({ length: c.trajectory.size }, (_, i) => {
      const markers =
        markersOf(templates[i] ?? "plain") ??
        c.refuse(`prompt-aug-grpo: unknown template '${templates[i]}'`, `use ${Object.keys(MARKERS).join(", ")}`);
      const once = markers.filter((marker) => occurrences(texts[i] ?? "", marker) === 1).length;
      return markers.length === 0 ? 1 : once / markers.length;
    });
    c.output("format_reward", [...format]);
    return c.field("correct").mul(p.w_correct).add(c.lift(c.trajectory, format).mul(p.w_format));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, rawSingles: true }),
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  aggregate: tokenMean,
});
