import { defineRecipe, integer, number } from "../recipe.ts";
import { sameShape } from "../rl/nested.ts";

interface Rules {
  decay: number;
  lambda_repeat: number;
  max_turns: number;
}

const plain = (answer: string): string => answer.toLowerCase().replace(/\s+/g, "");

/** Rewards of one episode's answers; what comes after a right one or after max_turns valid ones earns nothing. */
function episode(answers: readonly string[], gold: string, p: Rules) {
  const valid: string[] = [];
  let solved = false;
  let worth = 1;
  const rewards = answers.map((given) => {
    const answer = plain(given);
    if (answer === "" || solved || valid.length >= p.max_turns) return 0;
    valid.push(answer);
    solved = answer === plain(gold);
    const reward = solved ? worth : 0;
    worth *= p.decay;
    return reward;
  });
  const penalty = valid.length > 0 ? p.lambda_repeat * (1 - new Set(valid).size / valid.length) : 0;
  return { rewards, penalty, solved, total: rewards.reduce((a, b) => a + b, 0) - penalty };
}

export default defineRecipe({
  id: "ufo",
  paper: {
    title: 'A Simple "Try Again" Can Elicit Multi-Turn LLM Reasoning',
    arxiv: "2507.14295",
    source: "github lichengliu03/unary-feedback ragen/env/metamathqa/env.py",
  },
  stage: ["rollout", "reward"],
  describe: `A wrong answer is only told to try again; a right one is worth half as much with each turn that it took, and repeated
answers are fined. Answers are compared without case and white space; an empty one is no turn. The paper trains PPO with a
critic (GRPO also possible, as here); the fine for bad format and the environment are left out. Without answers the
batch's reward counts.`,
  formula: "R = decay^k·[answer k is right] − lambda_repeat·(1 − E/V), E distinct of V valid answers",
  params: {
    decay: number(0.5, "what a right answer is worth of its value a turn before", { min: 0, max: 1 }),
    lambda_repeat: number(0.5, "fine if all answers were one", { min: 0 }),
    max_turns: integer(5, "valid answers of an episode", { min: 0 }),
  },
  fields: { answers: "raw", gold: "trajectory" },
  reward: (c, p) => {
    if (!c.hasRaw("answers")) return c.reward;
    sameShape(c, 1, "gold", "answers");
    const gold = c.raw<string[]>("gold");
    const episodes = c.raw<string[][]>("answers").map((list, i) => episode(list.map(String), String(gold[i]), p));
    c.output(
      "turn_reward",
      episodes.map((e) => e.rewards),
    );
    c.output(
      "repeat_penalty",
      episodes.map((e) => e.penalty),
    );
    c.output(
      "solved",
      episodes.map((e) => e.solved),
    );
    const total = episodes.map((e) => e.total);
    c.output("reward", total);
    return c.lift(c.trajectory, total);
  },
  trains: { refuse: "needs episodes of several attempts: supply answers, a list each, and gold" },
});
