import { loadRecipe } from "../recipe.ts";
import { meanOf, setChance, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, Tabular } from "./lib/tabular.ts";
import { baselineBetween, between, higher, lower } from "./lib/verdict.ts";

const [PROMPTS, V, CORRECT] = [40, 12, 3];

/** Grades 0 to 4: one answer of 4, one of 3 (each first 1.5 %), a tempting one of 2 (first 50 %), the others 0 or 1. */
function task(seed: number) {
  const policy = new Tabular({ prompts: PROMPTS, vocabulary: V });
  const random = draws(seed, 0, 1);
  for (let k = 0; k < policy.logits.length; k++) policy.logits[k] = 0.5 * normal(random);
  const grades = Array.from({ length: PROMPTS }, (_, q) => {
    const list = random.shuffle(Array.from({ length: V }, (_, v) => (v < 3 ? 4 - v : v % 2)));
    // The last one set is exact, the earlier ones nearly: their odds are kept, not their chances.
    for (const grade of [4, 3]) setChance(policy, q, list.indexOf(grade), 0.03);
    setChance(policy, q, list.indexOf(2), 0.5);
    return list;
  });
  const chance = (holds: (grade: number) => boolean) =>
    grades.map((list, q) => policy.answers(q).reduce((sum, p, v) => sum + (holds(list[v]) ? p : 0), 0));
  return {
    policy,
    reward: (r: { prompt: number; tokens: number[] }) => grades[r.prompt][r.tokens[0]],
    right: () => chance((g) => g >= CORRECT),
    tempted: () => chance((g) => g === 2),
  };
}

export default defineDemo({
  id: "corpo",
  claim:
    "With graded rewards GRPO pays failures that are less bad than their group and gets stuck on partial credit; CoRPO does not.",
  task: "Tabular policy, 40 prompts of 12 answers graded 0 to 4, right from 3 (first 3 %), a tempting 2 (first 50 %); 400 steps of 20 prompts × 8 rollouts.",
  baseline: "grpo",
  system: "corpo",
  seeds: 8,
  measures: [
    {
      name: "failed rollouts with A > 0, share",
      claim: [between(0, 0), baselineBetween(1e-6, Number.POSITIVE_INFINITY)],
    },
    { name: "prompts stuck on partial credit (> ½)", claim: lower() },
    { name: "chance of a right answer after", claim: higher() },
  ],
  async measure(arm, seed) {
    const { policy, reward, right, tempted } = task(seed);
    const params = arm === "corpo" ? { r_min_correct: CORRECT } : {};
    const learner = new Learner({ policy, reward, recipe: await loadRecipe(arm), params, learningRate: 1.4, seed });
    let [failed, paid] = [0, 0];
    for (let step = 0; step < 400; step++) {
      const taught = learner.step(uniformly(draws(seed, step, 2), PROMPTS, 20, 8));
      taught.reward.forEach((r, i) => {
        if (r >= CORRECT) return;
        failed++;
        if (taught.prepared.advantage![i] > 0) paid++;
      });
    }
    return {
      "failed rollouts with A > 0, share": paid / failed,
      "prompts stuck on partial credit (> ½)": tempted().filter((p) => p > 0.5).length,
      "chance of a right answer after": meanOf(right()),
    };
  },
});
