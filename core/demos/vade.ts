import { loadRecipe } from "../recipe.ts";
import { bandit, betaDraw, flatGroups, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { decide, Learner } from "./lib/learner.ts";
import { draws } from "./lib/tabular.ts";
import { higher, lower, noHigher } from "./lib/verdict.ts";

const [POOL, B, G, STEPS, GAIN] = [300, 16, 8, 150, 0.15];

/** Four of ten prompts out of reach, three solved, three between 5 and 70 %. */
const firstSuccess = (q: number): number => (q % 10 < 4 ? 1e-4 : q % 10 < 7 ? 0.999 : 0.05 + (0.65 * q) / (POOL - 1));

export default defineDemo({
  id: "vade",
  claim:
    "Thompson draws of success rates find prompts of mixed outcomes at no extra rollouts, cheaper than refilling; counts that do not fade lag behind prompts that improve.",
  task: "Tabular policy, 300 prompts of 16 answers, 40 % out of reach, 30 % solved; steps of 16 prompts × 8 rollouts with grpo's objective, until mean success has risen by 0.15, at most 150. dapo refill draws prompts until 16 groups are mixed.",
  baseline: "uniform",
  system: "vade",
  others: ["dapo refill", "vade without decay"],
  seeds: 5,
  measures: [
    { name: "groups of mixed outcomes, share", claim: higher() },
    { name: "rollouts a step", claim: noHigher(0) },
    { name: "rollouts to a gain of 0.15", claim: lower() },
    { name: "rollouts to a gain of 0.15", against: "dapo refill", claim: lower() },
    { name: "error of the estimate, improved prompts", against: "vade without decay", claim: lower() },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: POOL, answers: 16, seed, success: firstSuccess });
    const vade = await loadRecipe("vade");
    const own = arm.startsWith("vade");
    const decay = arm === "vade without decay" ? { decay_sampled: 1, decay_all: 1 } : {};
    const params = { batch_prompts: B, rollouts: G, ...decay };
    const learner = new Learner({ ...task, recipe: await loadRecipe("grpo"), learningRate: 1.2, seed });
    const first = successes(task);
    let state: Record<string, unknown> = { alpha: first.map(() => 0), beta: first.map(() => 0) };
    const mixed: number[] = [];
    let cost = Number.NaN;
    let steps = 0;
    while (steps < STEPS && Number.isNaN(cost)) {
      const random = draws(seed, steps, 2);
      if (own) {
        const { alpha, beta } = state as { alpha: number[]; beta: number[] };
        const theta = alpha.map((a, q) => betaDraw(random, a + 1, beta[q] + 1));
        const selected = decide(vade, params, { theta, successes: {} }, state).outputs.selected as number[];
        const { group, reward } = learner.step(selected.map((prompt) => ({ prompt, rollouts: G })));
        const counts = selected.map((_, g) => group.reduce((sum, h, i) => sum + (h === g ? reward[i] : 0), 0));
        const right = Object.fromEntries(selected.map((q, g) => [String(q), counts[g]]));
        state = decide(vade, params, { theta, successes: right }, state).state;
        mixed.push(meanOf(flatGroups(group, reward).map((flat) => Number(!flat))));
      } else if (arm === "uniform") {
        const { group, reward } = learner.step(uniformly(random, POOL, B, G));
        mixed.push(meanOf(flatGroups(group, reward).map((flat) => Number(!flat))));
      } else {
        // Prompts in a random order, groups of equal rewards thrown away until the batch is full.
        const { rollouts, group } = learner.preview(uniformly(random, POOL, POOL, G));
        const flat = flatGroups(group, rollouts.map(task.reward));
        const live = flat.flatMap((f, g) => (f ? [] : [g])).slice(0, B);
        const looked = live.length < B ? flat.length : live[B - 1] + 1;
        learner.drawn += looked * G;
        const kept = rollouts.filter((_, i) => live.includes(group[i]));
        learner.learn(
          kept,
          kept.map((_, i) => Math.floor(i / G)),
        );
        mixed.push(live.length / looked);
      }
      steps++;
      if (meanOf(successes(task)) - meanOf(first) >= GAIN) cost = learner.drawn;
    }
    const { alpha, beta } = state as { alpha: number[]; beta: number[] };
    const now = successes(task);
    const errors = now.flatMap((p, q) =>
      p - first[q] > 0.3 ? [Math.abs((alpha[q] + 1) / (alpha[q] + beta[q] + 2) - p)] : [],
    );
    return {
      "groups of mixed outcomes, share": meanOf(mixed),
      "rollouts a step": learner.drawn / steps,
      "rollouts to a gain of 0.15": Number.isNaN(cost) ? learner.drawn : cost,
      "error of the estimate, improved prompts": own ? meanOf(errors) : Number.NaN,
    };
  },
});
