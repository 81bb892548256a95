import { loadRecipe } from "../recipe.ts";
import { meanOf, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, type Rollout, Tabular } from "./lib/tabular.ts";
import { higher, noWorse } from "./lib/verdict.ts";

const [PROMPTS, V] = [32, 32];

/** 8 answers of 32 are well formed, 3 are right, 1 is both. */
function task(seed: number) {
  const policy = new Tabular({ prompts: PROMPTS, vocabulary: V });
  const random = draws(seed, 0, 1);
  for (let k = 0; k < policy.logits.length; k++) policy.logits[k] = 0.5 * normal(random);
  const order = Array.from({ length: PROMPTS }, () => random.shuffle(Array.from({ length: V }, (_, v) => v)));
  const format = order.map((list) => new Set(list.slice(0, 8)));
  const correct = order.map((list) => new Set([...list.slice(0, 1), ...list.slice(8, 10)]));
  const share = (sets: readonly Set<number>[]) =>
    meanOf(sets.map((set, q) => policy.answers(q).reduce((sum, p, v) => sum + (set.has(v) ? p : 0), 0)));
  return {
    policy,
    format: () => share(format),
    correct: () => share(correct),
    reward: ({ prompt, tokens }: Rollout) => ({
      correct: Number(correct[prompt].has(tokens[0])),
      format: Number(format[prompt].has(tokens[0])),
    }),
  };
}

export default defineDemo({
  id: "gdpo-reward",
  claim:
    "Normalising each reward by itself tells combinations of one sum apart, and both rewards converge where GRPO trades one off.",
  task: "Tabular policy, 32 prompts of 32 answers, 8 well formed, 3 right (rare), 1 both; 200 steps of 16 prompts × 16 rollouts.",
  baseline: "grpo",
  system: "gdpo-reward",
  seeds: 6,
  measures: [
    { name: "distinct advantages in a group", claim: higher() },
    { name: "correct after", claim: higher() },
    { name: "format after", claim: noWorse(0.02) },
    { name: "correct, mean over the run", claim: higher() },
    { name: "format, mean over the run" },
  ],
  async measure(arm, seed) {
    const { policy, reward, correct, format } = task(seed);
    const learner = new Learner({ policy, reward, recipe: await loadRecipe(arm), learningRate: 1.2, seed });
    const distinct: number[] = [];
    const curve: { correct: number; format: number }[] = [];
    for (let step = 0; step < 200; step++) {
      const { group, prepared } = learner.step(uniformly(draws(seed, step, 2), PROMPTS, 16, 16));
      for (let g = 0; g < 16; g++) {
        const values = group.flatMap((h, i) => (h === g ? [prepared.advantage![i].toFixed(9)] : []));
        distinct.push(new Set(values).size);
      }
      curve.push({ correct: correct(), format: format() });
    }
    return {
      "distinct advantages in a group": meanOf(distinct),
      "correct after": curve[199].correct,
      "format after": curve[199].format,
      "correct, mean over the run": meanOf(curve.map((c) => c.correct)),
      "format, mean over the run": meanOf(curve.map((c) => c.format)),
    };
  },
});
