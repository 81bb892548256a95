import { loadRecipe } from "../recipe.ts";
import { exp } from "../rl/scalar.ts";
import { bandit, meanOf, successes, weighted } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { gradientVariance } from "./lib/gradients.ts";
import { decide, Learner, type Visit } from "./lib/learner.ts";
import { draws, type Tabular } from "./lib/tabular.ts";
import { higher, lower } from "./lib/verdict.ts";

const [POOL, BATCH, PILOT, MEAN, STEPS, GOAL] = [100, 32, 4, 8, 120, 0.8];

/** Norm of the gradient of −lp by the logits of a prompt's row. */
function scoreNorm(policy: Tabular, prompt: number, token: number): number {
  const p = policy.next(prompt, []).map((x) => exp(x));
  return Math.sqrt(p.reduce((sum, x, v) => sum + ((v === token ? 1 : 0) - x) * ((v === token ? 1 : 0) - x), 0));
}

export default defineDemo({
  id: "cures",
  claim:
    "Rollouts go to prompts of success near ½, the batch gradient varies less at equal rollouts, and 80 % success comes in fewer steps.",
  task: "Tabular policy, 100 prompts of 8 answers, first success 1 to 99 %; steps of 32 prompts, 256 rollouts; cures: 4 pilots each, whose gradient norms decide on the other 128. Variance: 60 batches at the first policy, over the squared norm of their mean. At most 120 steps.",
  baseline: "uniform 8",
  system: "cures",
  seeds: 6,
  measures: [
    { name: "rollouts on success ¼ to ¾, share", claim: higher() },
    { name: "relative gradient variance", claim: lower() },
    { name: "steps to 80 % success", claim: lower() },
    { name: "rollouts a step" },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: POOL, answers: 8, seed, success: (q) => 0.01 + (0.98 * q) / (POOL - 1) });
    const [grpo, cures] = [await loadRecipe("grpo"), await loadRecipe("cures")];
    const params = { n_min: PILOT, n_max: MEAN - PILOT, batch_prompts: BATCH };
    /** Counts of right answers and rollouts so far, by prompt. */
    const fresh = () => Array.from({ length: POOL }, () => ({ accepted: 0, all: 0 }));
    const choose = (step: number, learner: Learner, counts: { accepted: number; all: number }[]): Visit[] => {
      const random = draws(seed, step, 2);
      if (arm !== "cures")
        return weighted(
          random,
          counts.map(() => 1),
          BATCH,
        ).map((prompt) => ({ prompt, rollouts: MEAN }));
      const empty = counts.map(() => [0]);
      const ask = { prompt_stats: counts, grad_norm_correct: empty, grad_norm_wrong: empty };
      const weights = decide(cures, params, ask).outputs.sampling_weight as number[];
      const prompts = weighted(random, weights, BATCH);
      // The pilots are the first rollouts that the learner will draw for these visits, so they are not drawn twice.
      const pilots = learner.preview(prompts.map((prompt) => ({ prompt, rollouts: PILOT })));
      const norms = (g: number, right: number) => {
        const of = pilots.rollouts.filter((r, i) => pilots.group[i] === g && task.reward(r) === right);
        return of.length > 0 ? of.map((r) => scoreNorm(learner.policy, r.prompt, r.tokens[0])) : [0];
      };
      const stats = prompts.map((_, g) => {
        const rewards = pilots.rollouts.flatMap((r, i) => (pilots.group[i] === g ? [task.reward(r)] : []));
        return { accepted: rewards.reduce((a, b) => a + b, 0), all: PILOT };
      });
      const more = decide(cures, params, {
        prompt_stats: stats,
        grad_norm_correct: prompts.map((_, g) => norms(g, 1)),
        grad_norm_wrong: prompts.map((_, g) => norms(g, 0)),
      }).outputs.rollouts as number[];
      return prompts.map((prompt, g) => ({ prompt, rollouts: PILOT + more[g] }));
    };
    const { relative } = gradientVariance({ ...task, recipe: grpo, seed }, 60, (k, learner) =>
      choose(k, learner, fresh()),
    );
    const learner = new Learner({ ...task, recipe: grpo, learningRate: 1.7, seed });
    const counts = fresh();
    let [middle, steps] = [0, STEPS];
    for (let step = 0; step < STEPS; step++) {
      const before = successes(task);
      if (steps === STEPS && meanOf(before) >= GOAL) {
        steps = step;
        break;
      }
      const { rollouts, reward } = learner.step(choose(step, learner, counts));
      rollouts.forEach(({ prompt }, i) => {
        counts[prompt].accepted += reward[i];
        counts[prompt].all++;
        if (before[prompt] >= 0.25 && before[prompt] <= 0.75) middle++;
      });
    }
    return {
      "rollouts on success ¼ to ¾, share": middle / learner.drawn,
      "relative gradient variance": relative,
      "steps to 80 % success": steps,
      "rollouts a step": learner.drawn / Math.max(1, learner.steps),
    };
  },
});
