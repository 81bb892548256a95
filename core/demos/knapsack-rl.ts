import { loadRecipe } from "../recipe.ts";
import { bandit, flatGroups, meanOf, successes } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { decide, Learner } from "./lib/learner.ts";
import { alike, higher, higherByShare } from "./lib/verdict.ts";

const [PROMPTS, STEPS] = [100, 25];

export default defineDemo({
  id: "knapsack-rl",
  claim:
    "Rollouts split over prompts as a knapsack give 20 to 40 % more groups of mixed outcomes than a uniform number, and hard prompts get solved.",
  task: "Tabular policy, 100 prompts of 16 answers, first success 1 to 99 %; 25 steps over all prompts, 800 rollouts each; both arms with the recipe's objective (clipped z-scores, dual clip).",
  baseline: "uniform 8",
  system: "knapsack-rl",
  seeds: 5,
  measures: [
    { name: "share of groups with mixed outcomes", claim: higherByShare(0.2) },
    { name: "share of rollouts with a gradient", claim: higherByShare(0.2) },
    { name: "success after, prompts first at most 5 %", claim: higher() },
    { name: "success after" },
    { name: "rollouts", claim: alike(0) },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: PROMPTS, answers: 16, seed, success: (q) => 0.01 + (0.98 * q) / (PROMPTS - 1) });
    const hard = successes(task).flatMap((p, q) => (p <= 0.05 ? [q] : []));
    const recipe = await loadRecipe("knapsack-rl");
    const learner = new Learner({ ...task, recipe, learningRate: 3, seed });
    // Newest first; the recipe's rate is over the last 16, or over a whole visit of 16 and more.
    const history = Array.from({ length: PROMPTS }, (): number[] => []);
    const seen = new Array<number>(PROMPTS).fill(0);
    const shares: number[] = [];
    const active: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const stats = history.map((h, q) => ({ success_rate: h.length > 0 ? meanOf(h) : 0, count: seen[q] }));
      const budget =
        arm === "uniform 8"
          ? stats.map(() => 8)
          : (decide(recipe, {}, { prompt_stats: stats }).outputs.rollouts as number[]);
      const { rollouts, group, reward, prepared } = learner.step(budget.map((n, prompt) => ({ prompt, rollouts: n })));
      shares.push(meanOf(flatGroups(group, reward).map((flat) => Number(!flat))));
      active.push(meanOf(Array.from(prepared.advantage!, (a) => Number(a !== 0))));
      for (let q = 0; q < PROMPTS; q++) {
        const news = rollouts.flatMap((r, i) => (r.prompt === q ? [reward[i]] : [])).reverse();
        seen[q] += news.length;
        history[q] = news.length >= 16 ? news : [...news, ...history[q]].slice(0, 16);
      }
    }
    const success = successes(task);
    return {
      "share of groups with mixed outcomes": meanOf(shares),
      "share of rollouts with a gradient": meanOf(active),
      "success after, prompts first at most 5 %": meanOf(hard.map((q) => success[q])),
      "success after": meanOf(success),
      rollouts: learner.drawn,
    };
  },
});
