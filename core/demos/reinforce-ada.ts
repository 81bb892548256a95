import { loadRecipe, type Recipe } from "../recipe.ts";
import { Stream, streams } from "../rng.ts";
import { bandit, flatGroups, meanOf, successes } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { decide, Learner } from "./lib/learner.ts";
import { draws, type Rollout } from "./lib/tabular.ts";
import { higher, noWorse } from "./lib/verdict.ts";

const [POOL, BUDGET, STEPS, MOST] = [64, 256, 60, 32];

export default defineDemo({
  id: "reinforce-ada",
  claim:
    "Sampling in rounds until right and wrong answers are there gives far more prompts a gradient than GRPO at equal samples, and learns faster.",
  task: "Tabular policy, 64 prompts of 16 answers, first success 2 to 98 %; 60 steps of 256 samples: 64 prompts × 4 for grpo, as many prompts as that pays for in rounds of 8 (at most 4, 4 kept) for reinforce-ada. dapo's objective in both.",
  baseline: "grpo n=4",
  system: "reinforce-ada",
  others: ["positive-focused"],
  seeds: 6,
  measures: [
    { name: "prompts with a gradient, share of those sampled", claim: higher() },
    { name: "success, mean over the run", claim: higher() },
    { name: "success after", claim: higher() },
    { name: "success, mean over the run", against: "positive-focused", claim: noWorse(0.005) },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: POOL, answers: 16, seed, success: (q) => 0.02 + (0.96 * q) / (POOL - 1) });
    const dapo = await loadRecipe("dapo");
    const ada = await loadRecipe("reinforce-ada");
    const choice = arm === "positive-focused" ? "positive_focused" : "balanced";
    // The advantages come with the samples: dapo's own slot would start from the kept ones alone.
    const given: Recipe = { ...dapo, advantage: (c) => c.field("given_advantage") };
    const learner = new Learner({ ...task, recipe: arm === "grpo n=4" ? dapo : given, learningRate: 1.5, seed });
    const live: number[] = [];
    const curve: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const order = draws(seed, step, 2).shuffle(Array.from({ length: POOL }, (_, q) => q));
      if (arm === "grpo n=4") {
        const { group, reward } = learner.step(order.map((prompt) => ({ prompt, rollouts: BUDGET / POOL })));
        live.push(meanOf(flatGroups(group, reward).map((flat) => Number(!flat))));
      } else {
        const [rollouts, group, advantage]: [Rollout[], number[], number[]] = [[], [], []];
        let [left, visited, moved] = [BUDGET, 0, 0];
        for (const q of order) {
          const stream = Array.from({ length: MOST }, (_, k) =>
            task.policy.rollout(q, new Stream(seed, streams.sample, step, q, k)),
          );
          const { outputs } = decide(ada, { choice }, { reward_stream: [stream.map(task.reward)] });
          left -= (outputs.rollouts as number[])[0];
          if (left < 0) break;
          const kept = (outputs.selected as number[][])[0];
          const values = (outputs.advantage as number[][])[0];
          rollouts.push(...kept.map((k) => stream[k]));
          group.push(...kept.map(() => visited));
          advantage.push(...values);
          visited++;
          if (values.some((a) => a !== 0)) moved++;
        }
        learner.learn(rollouts, group, { given_advantage: advantage });
        live.push(moved / visited);
      }
      curve.push(meanOf(successes(task)));
    }
    return {
      "prompts with a gradient, share of those sampled": meanOf(live),
      "success, mean over the run": meanOf(curve),
      "success after": curve[STEPS - 1],
    };
  },
});
