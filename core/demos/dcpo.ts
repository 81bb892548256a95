import { passAtK } from "../evaluate.ts";
import { compose, loadRecipe } from "../recipe.ts";
import { standardDeviation } from "../statistics.ts";
import { meanOf, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { draws, normal, Tabular } from "./lib/tabular.ts";
import { trainTiny } from "./lib/transformer.ts";
import { baselineBetween, between, lower, noWorse } from "./lib/verdict.ts";

const TARGET = 0.25;

interface Arm {
  recipe: string;
  params?: Record<string, unknown>;
  options?: readonly string[];
}

const ARMS: Record<string, Arm> = {
  grpo: { recipe: "grpo" },
  dcpo: { recipe: "dcpo", params: { entropy_target: TARGET } },
  "grpo + entropy bonus": { recipe: "grpo", options: ["entropy-bonus"], params: { entropy_coef: 0.05 } },
};

const [PROMPTS, V] = [30, 10];

/**
 * Entropy where many texts are right: a way of working, drawn alike for all prompts, then the answer. Way w suits a prompt
 * with chance 0.5 to 0.9; one that does not leads to a wrong answer. Mean of the last 50 of 300 steps.
 */
async function manyWays({ recipe, params, options = [] }: Arm, seed: number): Promise<number> {
  const features = (q: number, before: readonly number[]) => [before.length === 0 ? 0 : 1 + q];
  const policy = new Tabular({ prompts: PROMPTS, vocabulary: V, positions: 2, rows: 1 + PROMPTS, features });
  const random = draws(seed, 0, 1);
  for (let k = V; k < policy.logits.length; k++) policy.logits[k] = 0.7 * normal(random);
  const right = Array.from({ length: PROMPTS }, () => random.below(V));
  const suits = right.map(() => Array.from({ length: V }, (_, way) => random.uniform() < 0.5 + (0.4 * way) / (V - 1)));
  const bonus = options.length > 0 ? { entropy: await loadRecipe(options[0]) } : {};
  const learner: Learner = new Learner({
    policy,
    reward: ({ prompt, tokens: [way, answer] }) => Number(suits[prompt][way] && answer === right[prompt]),
    recipe: compose(await loadRecipe(recipe), bonus),
    params,
    learningRate: 1.2,
    seed,
    fields(rollouts, _reward, state) {
      if (recipe !== "dcpo") return undefined;
      const { t_high, t_low } = learner.params as { t_high: number; t_low: number };
      const T = (state.entropy as number) <= TARGET ? t_high : t_low;
      return { logp_old_temp: rollouts.flatMap((r) => policy.score(r.prompt, r.tokens, T).logp) };
    },
  });
  const entropy = Array.from({ length: 300 }, (_, step) => {
    const { rollouts } = learner.step(uniformly(draws(seed, step, 2), PROMPTS, 15, 8));
    return meanOf(rollouts.flatMap((r) => r.entropy));
  });
  return meanOf(entropy.slice(-50));
}

export default defineDemo({
  id: "dcpo",
  claim:
    "Entropy is held at its target by importance weights towards a tempered policy, at no cost in accuracy or pass@k.",
  task: "Transformer of one layer on a list of 48 sums of two digits, right about half of the time after supervised steps; 250 steps of 16 sums × 8 rollouts in 4 optimiser steps, target 0.25 nats. Entropy: the mean over sampled tokens of the last 50 steps. Success: 16 samples of each sum of the list. Many ways: a tabular policy on 30 prompts with about seven right texts of 100 each.",
  baseline: "grpo",
  system: "dcpo",
  others: ["grpo + entropy bonus"],
  seeds: 5,
  measures: [
    { name: "entropy, nats", claim: [between(0.8 * TARGET, 1.2 * TARGET), baselineBetween(0, 0.05)] },
    { name: "success after", claim: noWorse(0.02) },
    { name: "pass@8 after", claim: noWorse(0.02) },
    { name: "wobble of the entropy (std)", against: "grpo + entropy bonus", claim: lower() },
    { name: "distance of the entropy from the target", against: "grpo + entropy bonus", claim: lower() },
    { name: "entropy where many ways are right, nats", claim: between(0.8 * TARGET, 1.2 * TARGET) },
    { name: "success before" },
  ],
  async measure(arm, seed, lab) {
    const probe = sums(48, seed);
    const keys = { ...summing, ...ARMS[arm], seed, warmStart: lesson, steps: 250, miniBatches: 4 };
    const { metrics, chances } = await trainTiny(lab, keys, { task: listTask(probe), probe });
    const last = metrics.slice(-50).map((m) => m.entropy ?? Number.NaN);
    const n = summing.evalSamples;
    return {
      "entropy, nats": meanOf(last),
      "success after": meanOf(chances.after),
      "pass@8 after": meanOf(chances.after.map((p) => passAtK(n, Math.round(p * n), 8))),
      "wobble of the entropy (std)": standardDeviation(last),
      "distance of the entropy from the target": meanOf(last.map((h) => Math.abs(h - TARGET))),
      "entropy where many ways are right, nats": await manyWays(ARMS[arm], seed),
      "success before": meanOf(chances.before),
    };
  },
});
