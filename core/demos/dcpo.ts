import { compose, loadRecipe } from "../recipe.ts";
import { standardDeviation } from "../statistics.ts";
import { meanOf, passAt, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, type Rollout, Tabular } from "./lib/tabular.ts";
import { baselineBetween, between, lower, noWorse } from "./lib/verdict.ts";

const [PROMPTS, V, TARGET] = [30, 10, 0.25];

/**
 * Two tokens: a way of working, drawn alike for all prompts, then the answer. Way w suits a prompt with chance 0.5 to 0.9;
 * one that does not leads to a wrong answer.
 */
function task(seed: number) {
  const policy = new Tabular({
    prompts: PROMPTS,
    vocabulary: V,
    positions: 2,
    rows: 1 + PROMPTS,
    features: (q, before) => [before.length === 0 ? 0 : 1 + q],
  });
  const random = draws(seed, 0, 1);
  for (let k = V; k < policy.logits.length; k++) policy.logits[k] = 0.7 * normal(random);
  const right = Array.from({ length: PROMPTS }, () => random.below(V));
  const suits = right.map(() => Array.from({ length: V }, (_, way) => random.uniform() < 0.5 + (0.4 * way) / (V - 1)));
  const chance = (q: number) =>
    suits[q].reduce((sum, suited, way) => sum + (suited ? policy.probability(q, [way, right[q]]) : 0), 0);
  const reward = ({ prompt, tokens: [way, answer] }: Rollout) => Number(suits[prompt][way] && answer === right[prompt]);
  return { policy, reward, success: () => right.map((_, q) => chance(q)) };
}

export default defineDemo({
  id: "dcpo",
  claim:
    "Entropy is held at its target by importance weights towards a tempered policy, at no cost in accuracy or pass@k.",
  task: "Tabular policy, 30 prompts; a way of working (10, one row of logits for all prompts; each suits 50 to 90 % of them), then an answer (10); 300 steps of 15 prompts × 8 rollouts, target 0.25 nats. Entropy: the mean over sampled tokens of the last 50 steps.",
  baseline: "grpo",
  system: "dcpo",
  others: ["grpo + entropy bonus"],
  seeds: 6,
  measures: [
    { name: "entropy, nats", claim: [between(0.8 * TARGET, 1.2 * TARGET), baselineBetween(0, 0.05)] },
    { name: "success after", claim: noWorse(0.02) },
    { name: "pass@8 after", claim: noWorse(0.02) },
    { name: "wobble of the entropy (std)", against: "grpo + entropy bonus", claim: lower() },
    { name: "distance of the entropy from the target", against: "grpo + entropy bonus", claim: lower() },
  ],
  async measure(arm, seed) {
    const { policy, reward, success } = task(seed);
    const grpo = await loadRecipe("grpo");
    const bonus = arm === "grpo + entropy bonus";
    const recipe =
      arm === "dcpo"
        ? await loadRecipe("dcpo")
        : bonus
          ? compose(grpo, { entropy: await loadRecipe("entropy-bonus") })
          : grpo;
    const params = arm === "dcpo" ? { entropy_target: TARGET } : bonus ? { entropy_coef: 0.05 } : {};
    const learner: Learner = new Learner({
      policy,
      reward,
      recipe,
      params,
      learningRate: 1.2,
      seed,
      fields(rollouts, _reward, state) {
        if (arm !== "dcpo") return undefined;
        const { t_high, t_low } = learner.params as { t_high: number; t_low: number };
        const T = (state.entropy as number) <= TARGET ? t_high : t_low;
        return { logp_old_temp: rollouts.flatMap((r) => policy.score(r.prompt, r.tokens, T).logp) };
      },
    });
    const entropy: number[] = [];
    for (let step = 0; step < 300; step++) {
      const { rollouts } = learner.step(uniformly(draws(seed, step, 2), PROMPTS, 15, 8));
      entropy.push(meanOf(rollouts.flatMap((r) => r.entropy)));
    }
    const last = entropy.slice(-50);
    const chances = success();
    return {
      "entropy, nats": meanOf(last),
      "success after": meanOf(chances),
      "pass@8 after": passAt(chances, 8),
      "wobble of the entropy (std)": standardDeviation(last),
      "distance of the entropy from the target": meanOf(last.map((h) => Math.abs(h - TARGET))),
    };
  },
});
