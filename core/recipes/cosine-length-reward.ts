import { defineRecipe, number, optional } from "../recipe.ts";

export default defineRecipe({
  id: "cosine-length-reward",
  paper: {
    title: "Demystifying Long Chain-of-Thought Reasoning in LLMs",
    source: "huggingface/trl@f2cd577 trl/rewards/accuracy_rewards.py",
  },
  stage: ["reward"],
  describe: `GRPO on another reward: a right answer earns more the shorter it is, a wrong one loses less the longer it
is, along a cosine from length 0 to max_len. Reads correct; the task's own reward plays no part.`,
  formula:
    "c = ½(1 + cos(π·min(T/max_len, 1))); right: right_min + (right_max − right_min)·c; wrong: wrong_max + (wrong_min − wrong_max)·c",
  params: {
    max_len: optional(null, "length at which the cosine ends, tokens; null: the batch's longest", { min: 1 }),
    wrong_min: number(-1, "wrong and of length 0"),
    wrong_max: number(-0.5, "wrong and long"),
    right_min: number(0.5, "right and long"),
    right_max: number(1, "right and of length 0"),
  },
  reward: (c, p) => {
    const share = c.length.div(p.max_len ?? c.length.maxOver(c.all)).min(1);
    const cosine = share.mul(Math.PI).cos().add(1).div(2);
    const along = (end: number, start: number) => cosine.mul(start - end).add(end);
    return c.field("correct").where(along(p.right_min, p.right_max), along(p.wrong_max, p.wrong_min));
  },
});
