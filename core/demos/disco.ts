import { loadRecipe } from "../recipe.ts";
import { bandit, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, entropyOf } from "./lib/tabular.ts";
import { between, higher, noWorse } from "./lib/verdict.ts";

const DELTA = 1e-4;

export default defineDemo({
  id: "disco",
  claim:
    "Without clip and difficulty weight hard questions gain more than under GRPO, entropy does not collapse, and the KL stays at its bound.",
  task: "Tabular policy, 40 prompts of 16 answers, first success 3 to 90 % (hard: under 20 %); 60 steps of 20 prompts × 8 rollouts, 4 passes each.",
  baseline: "grpo",
  system: "disco",
  seeds: 8,
  measures: [
    { name: "gain of hard prompts, mean over the run", claim: higher() },
    { name: "success after", claim: noWorse(0.02) },
    { name: "entropy after, nats", claim: higher() },
    { name: "KL to the rollout policy, last pass", claim: between(-10 * DELTA, 10 * DELTA) },
    { name: "trained tokens without a gradient", claim: between(0, 0) },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: 40, answers: 16, seed, success: (q) => 0.03 + (0.87 * q) / 39 });
    const recipe = await loadRecipe(arm);
    const learner = new Learner({ ...task, recipe, learningRate: 0.4, seed, epochs: 4 });
    const hard = successes(task).flatMap((p, q) => (p < 0.2 ? [q] : []));
    const level = () => meanOf(hard.map((q) => successes(task)[q]));
    const start = level();
    const gains: number[] = [];
    const drift: number[] = [];
    let [silent, live] = [0, 0];
    for (let step = 0; step < 60; step++) {
      const { rollouts, group, reward, steps } = learner.step(uniformly(draws(seed, step, 2), 40, 20, 8));
      const last = steps[steps.length - 1];
      drift.push(meanOf(last.old.map((lp, i) => lp - last.logp[i])));
      const mixed = new Set(
        group.filter((g) => new Set(group.flatMap((h, i) => (h === g ? [reward[i]] : []))).size > 1),
      );
      for (let i = 0; i < rollouts.length; i++) {
        if (!mixed.has(group[i])) continue;
        live++;
        if (last.dlogp[i] === 0) silent++;
      }
      gains.push(level() - start);
    }
    const success = successes(task);
    return {
      "gain of hard prompts, mean over the run": meanOf(gains),
      "success after": meanOf(success),
      "entropy after, nats": meanOf(success.map((_, q) => entropyOf(task.policy.next(q, [])))),
      "KL to the rollout policy, last pass": meanOf(drift),
      "trained tokens without a gradient": silent / live,
    };
  },
});
