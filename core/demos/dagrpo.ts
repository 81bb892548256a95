import { loadRecipe } from "../recipe.ts";
import { meanOf, setChance, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { cosine, gradientOf, variation } from "./lib/gradients.ts";
import { Learner } from "./lib/learner.ts";
import { draws, type Rollout, Tabular } from "./lib/tabular.ts";
import { baselineBetween, higher, lower } from "./lib/verdict.ts";

const [PROMPTS, DIGITS] = [32, 4];

/** Sums of four digits, digit by digit; the second half of the prompts is out of reach at first. */
function task(seed: number) {
  const rows = PROMPTS * DIGITS;
  const policy = new Tabular({ prompts: PROMPTS, vocabulary: 10, positions: DIGITS });
  const digits = new Tabular({ prompts: rows, vocabulary: 10 }, policy.logits);
  const random = draws(seed, 0, 1);
  const right = Array.from({ length: PROMPTS }, (_, q) =>
    Array.from({ length: DIGITS }, (_, t) => {
      const digit = random.below(10);
      setChance(digits, q * DIGITS + t, digit, q < PROMPTS / 2 ? 0.7 : 0.08);
      return digit;
    }),
  );
  const score = (r: Rollout) => meanOf(r.tokens.map((d, t) => Number(d === right[r.prompt][t])));
  const success = (from: number, to: number) =>
    meanOf(right.slice(from, to).map((tokens, k) => policy.probability(from + k, tokens)));
  return { policy, right, score, success, reward: (r: Rollout) => Number(score(r) === 1) };
}

export default defineDemo({
  id: "dagrpo",
  claim:
    "Leaving out pairs of right and wrong rollouts that are nearly alike reduces gradient conflict; one expert answer moves groups that failed.",
  task: "Tabular policy, 32 sums of 4 digits with the share of right digits as score, half of them first solved with 0.7⁴, half with 0.08⁴; 80 steps of 16 prompts × 8 rollouts. tau 0.3.",
  baseline: "grpo",
  system: "dagrpo",
  others: ["dagrpo without anchor"],
  seeds: 6,
  measures: [
    { name: "|cos| of right and wrong gradients in a group", claim: lower() },
    { name: "variation of the gradient norm (std/mean)", claim: lower() },
    { name: "success after, prompts in reach" },
    { name: "success after, prompts out of reach", claim: [higher(), baselineBetween(Number.NEGATIVE_INFINITY, 0.05)] },
    { name: "success after, prompts out of reach", against: "dagrpo without anchor", claim: higher() },
  ],
  async measure(arm, seed) {
    const { policy, right, score, success, reward } = task(seed);
    const recipe = await loadRecipe(arm === "grpo" ? "grpo" : "dagrpo");
    const learner = new Learner({ policy, reward, recipe, learningRate: 2.4, seed });
    const conflict: number[] = [];
    const norms: number[] = [];
    for (let step = 0; step < 80; step++) {
      const frozen = policy.copy();
      const { rollouts, group } = learner.draw(uniformly(draws(seed, step, 2), PROMPTS, 16, 8));
      const anchor = rollouts.map(() => 0);
      for (let g = 0; arm === "dagrpo" && g < 16; g++) {
        const rows = group.flatMap((h, i) => (h === g ? [i] : []));
        if (rows.some((i) => reward(rollouts[i]) === 1)) continue;
        rollouts[rows[0]] = policy.score(rollouts[rows[0]].prompt, right[rollouts[rows[0]].prompt]);
        anchor[rows[0]] = 1;
      }
      const more: Record<string, number[]> = arm === "grpo" ? {} : { score: rollouts.map(score), anchor };
      const { steps } = learner.learn(rollouts, group, more);
      norms.push(steps[0].gradNorm);
      for (let g = 0; g < 16; g++) {
        if (group.some((h, i) => h === g && anchor[i] === 1)) continue;
        const side = (r: number) =>
          gradientOf(
            frozen,
            rollouts,
            rollouts.flatMap((x, i) =>
              x.tokens.map((_, t) => (group[i] === g && reward(x) === r ? steps[0].dlogp[i * DIGITS + t] : 0)),
            ),
          );
        const angle = cosine(side(1), side(0));
        if (Number.isFinite(angle)) conflict.push(Math.abs(angle));
      }
    }
    return {
      "|cos| of right and wrong gradients in a group": meanOf(conflict),
      "variation of the gradient norm (std/mean)": variation(norms),
      "success after, prompts in reach": success(0, PROMPTS / 2),
      "success after, prompts out of reach": success(PROMPTS / 2, PROMPTS),
    };
  },
});
