import { compose, loadRecipe } from "../recipe.ts";
import { meanOf, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, type Rollout, Tabular } from "./lib/tabular.ts";
import { baselineBetween, between, lower, noWorse } from "./lib/verdict.ts";

const [PROMPTS, LONGEST, FILLER, RIGHT] = [24, 12, 0, 1];

/**
 * Some filler tokens, then an answer that ends the text: right or wrong. `tilt` > 0 makes late answers right more often,
 * < 0 early ones.
 */
function task(seed: number, tilt: number) {
  const policy = new Tabular({ prompts: PROMPTS, vocabulary: 3, positions: LONGEST, stop: [1, 2] });
  const random = draws(seed, 0, 1);
  for (let q = 0; q < PROMPTS; q++) {
    for (let t = 0; t < LONGEST; t++) {
      const row = (q * LONGEST + t) * 3;
      policy.logits[row + FILLER] = t === LONGEST - 1 ? -30 : 2;
      policy.logits[row + RIGHT] = tilt * (t / (LONGEST - 1) - 0.5) + 0.3 * normal(random);
    }
  }
  const fillers = (t: number) => new Array<number>(t).fill(FILLER);
  const over = (of: (t: number, right: number, wrong: number) => number) =>
    meanOf(
      Array.from({ length: PROMPTS }, (_, q) =>
        Array.from({ length: LONGEST }, (_, t) =>
          of(t, policy.probability(q, [...fillers(t), 1]), policy.probability(q, [...fillers(t), 2])),
        ).reduce((a, b) => a + b, 0),
      ),
    );
  return {
    policy,
    reward: (r: Rollout) => Number(r.tokens.at(-1) === RIGHT),
    success: () => over((_, right) => right),
    length: () => over((t, right, wrong) => (t + 1) * (right + wrong)),
  };
}

async function recipeOf(arm: string) {
  const grpo = await loadRecipe("grpo");
  if (arm === "token mean") return compose(grpo, { aggregate: await loadRecipe("agg-token-mean") });
  return arm === "sequence mean" ? grpo : loadRecipe("balanced-aggregation");
}

async function train(arm: string, seed: number, tilt: number) {
  const { policy, reward, success, length } = task(seed, tilt);
  const learner = new Learner({ policy, reward, recipe: await recipeOf(arm), learningRate: 0.5, seed });
  const start = length();
  const drift: number[] = [];
  let imbalance = 0;
  for (let step = 0; step < 60; step++) {
    const { rollouts, group, steps } = learner.step(uniformly(draws(seed, step, 2), PROMPTS, 12, 8));
    // At ratio 1 the two sides of a group weigh the same: Σ dlogp over its tokens is 0.
    const sums = new Map<number, number>();
    let at = 0;
    rollouts.forEach((r, i) => {
      for (let t = 0; t < r.tokens.length; t++) sums.set(group[i], (sums.get(group[i]) ?? 0) + steps[0].dlogp[at++]);
    });
    imbalance = Math.max(imbalance, ...[...sums.values()].map(Math.abs));
    drift.push(length() - start);
  }
  return { drift: drift[drift.length - 1], success: success(), imbalance };
}

export default defineDemo({
  id: "balanced-aggregation",
  claim:
    "Averaging tokens inside the right and the wrong side apart removes the length bias of the token mean and of the sequence mean, at no loss of accuracy.",
  task: "Tabular policy, 24 prompts, up to 11 filler tokens before a right or wrong answer; in one variant late answers are right more often, in the other early ones. 60 steps of 12 prompts × 8 rollouts each.",
  baseline: "token mean",
  system: "balanced-aggregation",
  others: ["sequence mean"],
  seeds: 6,
  measures: [
    { name: "|length drift|, mean of both variants", claim: lower() },
    { name: "|length drift|, mean of both variants", against: "sequence mean", claim: lower() },
    { name: "length drift, right ones long", claim: baselineBetween(0, Number.POSITIVE_INFINITY) },
    {
      name: "length drift, right ones short",
      of: "sequence mean",
      claim: between(Number.NEGATIVE_INFINITY, 0),
    },
    { name: "success after", claim: noWorse(0.01) },
    { name: "success after", against: "sequence mean", claim: noWorse(0.01) },
    { name: "imbalance of the sides, most", claim: between(0, 1e-12) },
  ],
  async measure(arm, seed) {
    const long = await train(arm, seed, 3);
    const short = await train(arm, seed, -3);
    return {
      "|length drift|, mean of both variants": (Math.abs(long.drift) + Math.abs(short.drift)) / 2,
      "length drift, right ones long": long.drift,
      "length drift, right ones short": short.drift,
      "success after": (long.success + short.success) / 2,
      "imbalance of the sides, most": Math.max(long.imbalance, short.imbalance),
    };
  },
});
