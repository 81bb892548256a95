import { loadRecipe } from "../recipe.ts";
import { bandit, meanOf, passAt, successes, uniformly } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws } from "./lib/tabular.ts";
import { baselineBetween, between, higher, noWorse } from "./lib/verdict.ts";

const [PROMPTS, BATCH, G, STEPS] = [40, 16, 8, 400];

export default defineDemo({
  id: "hpt",
  claim:
    "Learning failed prompts from demonstrations and the others from rollouts moves prompts that RL cannot, its SFT share falls by itself, and it ends no worse than SFT and then RL.",
  task: "Tabular policy, 40 prompts of 32 answers with a demonstration each, half first solved 1 in 10 000, half 30 %; 400 steps of 16 prompts × 8 rollouts. Answers are one token long, and so is the padded length that divides hpt's sum over rollouts.",
  baseline: "grpo",
  system: "hpt",
  others: ["sft", "sft then grpo"],
  seeds: 8,
  measures: [
    {
      name: "success after, prompts out of reach",
      claim: [higher(), baselineBetween(Number.NEGATIVE_INFINITY, 0.05)],
    },
    { name: "fall of the SFT share, first to last tenth", claim: between(0.1, Number.POSITIVE_INFINITY) },
    { name: "success after", against: "sft then grpo", claim: noWorse(0.02) },
    { name: "pass@8 after", against: "sft then grpo", claim: noWorse(0.02) },
    { name: "success after", against: "sft", claim: noWorse(0.02) },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: PROMPTS, answers: 32, seed, success: (q) => (q % 2 === 0 ? 1e-4 : 0.3) });
    const common = { ...task, learningRate: 1.5, seed };
    const sft = new Learner({ ...common, recipe: await loadRecipe("sft") });
    const rl = new Learner({
      ...common,
      recipe: await loadRecipe(arm === "hpt" ? "hpt" : "grpo"),
      params: arm === "hpt" ? { divisor: 1 } : {},
    });
    const shares: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const visits = uniformly(draws(seed, step, 2), PROMPTS, BATCH, G);
      const shown = visits.map(({ prompt }) => task.policy.score(prompt, [task.right[prompt]]));
      const groups = shown.map((_, g) => g);
      if (arm === "sft" || (arm === "sft then grpo" && step < STEPS / 2)) sft.learn(shown, groups);
      else if (arm === "hpt") {
        const { rollouts, group } = rl.draw(visits);
        const demo = [...rollouts.map(() => 0), ...shown.map(() => 1)];
        const { prepared } = rl.learn([...rollouts, ...shown], [...group, ...groups], { demo });
        shares.push(meanOf((prepared.outputs.use_sft as boolean[]).map(Number)));
      } else rl.step(visits);
    }
    const success = successes(task);
    const tenth = STEPS / 10;
    return {
      "success after, prompts out of reach": meanOf(success.filter((_, q) => q % 2 === 0)),
      "fall of the SFT share, first to last tenth": meanOf(shares.slice(0, tenth)) - meanOf(shares.slice(-tenth)),
      "success after": meanOf(success),
      "pass@8 after": passAt(success, 8),
    };
  },
});
