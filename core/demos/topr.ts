import { loadRecipe } from "../recipe.ts";
import { meanOf, setChance, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, type Rollout, Tabular } from "./lib/tabular.ts";
import { baselineBetween, between, higher, lower } from "./lib/verdict.ts";

const [PROMPTS, DIGITS, STOP, JUNK, V, SAMPLES, STEPS] = [24, 3, 8, 9, 10, 16, 120];

const ARMS: Record<string, { recipe: string; params?: Record<string, unknown> }> = {
  "naive reinforce": { recipe: "reinforce" },
  topr: { recipe: "topr" },
  "right ones only": { recipe: "topr", params: { baseline: -1 } },
  "ppo clip": { recipe: "grpo" },
};

/** Answers of three digits and a stop; a junk token, an early stop or none makes a text malformed. */
function task(seed: number) {
  const policy = new Tabular({ prompts: PROMPTS, vocabulary: V, positions: DIGITS + 1, stop: [STOP] });
  const rows = new Tabular({ prompts: PROMPTS * (DIGITS + 1), vocabulary: V }, policy.logits);
  const random = draws(seed, 0, 1);
  const right = Array.from({ length: PROMPTS }, (_, q) =>
    Array.from({ length: DIGITS + 1 }, (_, t) => {
      const token = t < DIGITS ? random.below(8) : STOP;
      setChance(rows, q * (DIGITS + 1) + t, token, 0.84);
      return token;
    }),
  );
  const wellFormed = (q: number) => {
    let chance = 1;
    for (let t = 0; t <= DIGITS; t++) {
      const p = rows.answers(q * (DIGITS + 1) + t);
      chance *= t < DIGITS ? 1 - p[STOP] - p[JUNK] : p[STOP];
    }
    return chance;
  };
  const all = Array.from({ length: PROMPTS }, (_, q) => q);
  return {
    policy,
    reward: (r: Rollout) => (r.tokens.join() === right[r.prompt].join() ? 1 : -1),
    success: () => meanOf(all.map((q) => policy.probability(q, right[q]))),
    malformed: () => 1 - meanOf(all.map(wellFormed)),
  };
}

export default defineDemo({
  id: "topr",
  claim:
    "On a fixed data set of an old policy naive REINFORCE rises and collapses, right answers alone stay stable but lower, PPO hardly moves; tapered REINFORCE ends highest, with fewer malformed texts.",
  task: "Tabular policy, 24 prompts, texts of 3 digits and a stop, first right about half of the time; 16 samples a prompt of the first policy, rewards ±1; 120 steps over 12 prompts of that data.",
  baseline: "naive reinforce",
  system: "topr",
  others: ["right ones only", "ppo clip"],
  seeds: 8,
  measures: [
    { name: "fall of success from its peak", claim: [baselineBetween(0.1, 1), lower()] },
    { name: "success after", claim: higher() },
    { name: "success after", against: "right ones only", claim: higher() },
    { name: "success after", against: "ppo clip", claim: higher() },
    { name: "rise of malformed texts", claim: between(Number.NEGATIVE_INFINITY, 0) },
  ],
  async measure(arm, seed) {
    const { policy, reward, success, malformed } = task(seed);
    const old = policy.copy();
    const data = Array.from({ length: PROMPTS }, (_, q) => {
      const random = draws(seed, q, 4);
      return Array.from({ length: SAMPLES }, () => old.rollout(q, random));
    });
    const { recipe, params } = ARMS[arm];
    const learner = new Learner({ policy, reward, recipe: await loadRecipe(recipe), params, learningRate: 1, seed });
    const before = malformed();
    const curve = [success()];
    for (let step = 0; step < STEPS; step++) {
      const chosen = uniformly(draws(seed, step, 2), PROMPTS, 12, SAMPLES);
      const rollouts = chosen.flatMap(({ prompt }) => data[prompt]);
      const group = rollouts.map((_, i) => Math.floor(i / SAMPLES));
      // Naive: the reward itself, no baseline.
      const more: Record<string, number[]> = recipe === "reinforce" ? { advantage: rollouts.map(reward) } : {};
      learner.learn(rollouts, group, more);
      curve.push(success());
    }
    return {
      "fall of success from its peak": Math.max(...curve) - curve[STEPS],
      "success after": curve[STEPS],
      "rise of malformed texts": malformed() - before,
    };
  },
});
