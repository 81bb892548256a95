import { defineRecipe, number } from "../recipe.ts";

export default defineRecipe({
  id: "br-rm",
  paper: { title: "Think Twice: Branch-and-Rethink Reasoning Reward Model", arxiv: "2510.23596" },
  stage: ["reward", "rollout", "policy"],
  describe: `A reward model that judges a pair in two turns, first choosing what matters, then re-reading under it. One strict
outcome for all tokens of both turns: the labelled answer preferred, the other one, or a broken format in either turn,
which wins over all else and (published behaviour) swamps the group's z-score. The rest is GRPO with a small KL.
The two-turn rollout is left out.`,
  formula: "R = format_error where a turn does not parse, else correct where preferred = label, else wrong; then GRPO",
  params: {
    correct: number(0, "reward of the labelled preference"),
    wrong: number(-1, "reward of the other one"),
    format_error: number(-100, "reward where a turn does not parse"),
    beta: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
  },
  fields: {
    format_ok_turn1: "trajectory",
    format_ok_turn2: "trajectory",
    preferred: "trajectory",
    label: "trajectory",
  },
  trains: {
    refuse: "needs a judge in two turns over labelled pairs: supply format_ok_turn1, format_ok_turn2, preferred, label",
  },
  reward: (c, p) => {
    const parsed = c.field("format_ok_turn1").and(c.field("format_ok_turn2"));
    const verdict = c.field("preferred").eq(c.field("label")).where(p.correct, p.wrong);
    return parsed.where(verdict, p.format_error);
  },
});
