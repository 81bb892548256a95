import { loadRecipe } from "../recipe.ts";
import { bandit, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, type Rollout } from "./lib/tabular.ts";
import { higher, lower, noWorse } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; rollouts: number }> = {
  "grpo G=2": { recipe: "grpo", rollouts: 2 },
  // One rollout more than are trained on: the pivot.
  "mc-grpo G=2": { recipe: "mc-grpo", rollouts: 3 },
  "grpo G=8": { recipe: "grpo", rollouts: 8 },
};
const NOISE = 0.5;

export default defineDemo({
  id: "mc-grpo",
  claim:
    "With two rollouts a prompt a median baseline flips fewer advantage signs than a mean, and comes close to groups of 8.",
  task: "Tabular policy, 32 prompts of 8 answers, first success 20 to 60 %, reward 1 or 0 plus normal noise of deviation 0.5; 120 steps of 16 prompts, KL 0.04 to the first policy in all arms. Signs: against the mean of 256 samples.",
  baseline: "grpo G=2",
  system: "mc-grpo G=2",
  others: ["grpo G=8"],
  seeds: 8,
  measures: [
    { name: "share of flipped signs", claim: lower() },
    { name: "success after", claim: higher() },
    { name: "success after", against: "grpo G=8", claim: noWorse(0.01) },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: 32, answers: 8, seed, success: (q) => 0.2 + (0.4 * q) / 31 });
    const { recipe, rollouts: n } = ARMS[arm];
    const noise = draws(seed, 0, 5);
    const noisy = (r: Rollout) => task.reward(r) + NOISE * normal(noise);
    const learner = new Learner({
      policy: task.policy,
      reward: noisy,
      reference: task.policy.copy(),
      recipe: await loadRecipe(recipe),
      params: { beta: 0.04 },
      learningRate: 1,
      seed,
    });
    let [flips, counted] = [0, 0];
    for (let step = 0; step < 120; step++) {
      const visits = uniformly(draws(seed, step, 2), 32, 16, n);
      const wide = draws(seed, step, 6);
      const baseline = visits.map(({ prompt }) =>
        meanOf(
          Array.from({ length: 256 }, () => task.reward(task.policy.rollout(prompt, wide)) + NOISE * normal(wide)),
        ),
      );
      const { group, reward, prepared } = learner.step(visits);
      group.forEach((g, i) => {
        const advantage = prepared.advantage![i];
        if (prepared.keep?.[i] === 0 || advantage === 0) return;
        counted++;
        if (advantage > 0 !== reward[i] > baseline[g]) flips++;
      });
    }
    return { "share of flipped signs": flips / counted, "success after": meanOf(successes(task)) };
  },
});
