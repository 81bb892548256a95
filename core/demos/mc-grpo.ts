import { loadRecipe } from "../recipe.ts";
import { bandit, meanOf, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { draws, normal, type Rollout } from "./lib/tabular.ts";
import { trainTiny } from "./lib/transformer.ts";
import { higher, lower, noWorse } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; rollouts: number }> = {
  "grpo G=2": { recipe: "grpo", rollouts: 2 },
  // One rollout more than are trained on: the pivot.
  "mc-grpo G=2": { recipe: "mc-grpo", rollouts: 3 },
  "grpo G=8": { recipe: "grpo", rollouts: 8 },
};
const [NOISE, PARAMS] = [0.5, { beta: 0.04 }];

/** 32 prompts with noisy rewards: share of advantages with another sign than against the mean of 256 samples. */
async function noisyBandit(arm: string, seed: number): Promise<{ flips: number; success: number }> {
  const task = bandit({ prompts: 32, answers: 8, seed, success: (q) => 0.2 + (0.4 * q) / 31 });
  const { recipe, rollouts: n } = ARMS[arm];
  const noise = draws(seed, 0, 5);
  const learner = new Learner({
    policy: task.policy,
    reward: (r: Rollout) => task.reward(r) + NOISE * normal(noise),
    reference: task.policy.copy(),
    recipe: await loadRecipe(recipe),
    params: PARAMS,
    learningRate: 1,
    seed,
  });
  let [flips, counted] = [0, 0];
  for (let step = 0; step < 120; step++) {
    const visits = uniformly(draws(seed, step, 2), 32, 16, n);
    const wide = draws(seed, step, 6);
    const sample = (prompt: number) => task.reward(task.policy.rollout(prompt, wide)) + NOISE * normal(wide);
    const baseline = visits.map(({ prompt }) => meanOf(Array.from({ length: 256 }, () => sample(prompt))));
    const { group, reward, prepared } = learner.step(visits);
    group.forEach((g, i) => {
      const advantage = prepared.advantage![i];
      if (prepared.keep?.[i] === 0 || advantage === 0) return;
      counted++;
      if (advantage > 0 !== reward[i] > baseline[g]) flips++;
    });
  }
  return { flips: flips / counted, success: meanOf(successes(task)) };
}

export default defineDemo({
  id: "mc-grpo",
  claim:
    "With two rollouts a prompt a median baseline flips fewer advantage signs than a mean, and comes close to groups of 8.",
  task: "Tabular policy, 32 prompts of 8 answers, first success 20 to 60 %, reward 1 or 0 plus normal noise of deviation 0.5; 120 steps of 16 prompts. Signs: against the mean of 256 samples. Sums: transformer of one layer on a list of 48 sums of two digits, right two times in five after supervised steps; 80 steps of 16 prompts, 2 epochs a batch. KL 0.04 to the first policy in all arms.",
  baseline: "grpo G=2",
  system: "mc-grpo G=2",
  others: ["grpo G=8"],
  seeds: 6,
  measures: [
    { name: "share of flipped signs", claim: lower() },
    { name: "bandit: success after", claim: higher() },
    { name: "bandit: success after", against: "grpo G=8", claim: noWorse(0.01) },
    { name: "sums: pass@1 after", claim: higher() },
    { name: "sums: pass@1 after", against: "grpo G=8", claim: noWorse(0.01) },
    { name: "sums: rise of pass@1" },
  ],
  async measure(arm, seed, lab) {
    const { recipe, rollouts } = ARMS[arm];
    const size = { rolloutsPerPrompt: rollouts, steps: 80, epochsPerBatch: 2, evalPrompts: 48, warmStart: lesson };
    const keys = { ...summing, ...size, recipe, params: PARAMS, seed };
    const { before, after } = await trainTiny(lab, keys, { task: listTask(sums(48, seed)) });
    const [first, last] = [before, after].map((e) => e?.["pass@1"] ?? Number.NaN);
    const { flips, success } = await noisyBandit(arm, seed);
    return {
      "share of flipped signs": flips,
      "bandit: success after": success,
      "sums: pass@1 after": last,
      "sums: rise of pass@1": last - first,
    };
  },
});
