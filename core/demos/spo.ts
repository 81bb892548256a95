import { loadRecipe } from "../recipe.ts";
import { bandit, flatGroups, meanOf, successes, uniformly, weighted } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { decide, Learner } from "./lib/learner.ts";
import { draws, type Rollout } from "./lib/tabular.ts";
import { between, higher, lower, noWorse } from "./lib/verdict.ts";

const [POOL, STEPS, SINGLES, FIRST] = [200, 100, 64, 8];

/** A fifth of the prompts out of reach, a fifth trivial. */
const firstSuccess = (q: number): number => (q % 5 === 0 ? 1e-4 : q % 5 === 1 ? 0.99 : 0.05 + (0.85 * q) / (POOL - 1));

export default defineDemo({
  id: "spo",
  claim:
    "Single rollouts against a remembered success rate waste no rows on groups of equal rewards, and learn at least as well as groups.",
  task: "Tabular policy, 200 prompts of 16 answers, a fifth out of reach, a fifth trivial; 100 steps of 64 rollouts: single ones for spo, 8 × 8 for grpo. The tracker starts from 8 samples a prompt.",
  baseline: "grpo 8 × 8",
  system: "spo",
  others: ["spo, constant forgetting"],
  seeds: 6,
  measures: [
    { name: "rows with advantage 0, share", claim: [between(0, 0.01), lower()] },
    { name: "|tracked − true success|", claim: between(0, 0.1) },
    { name: "success after", claim: noWorse(0) },
    { name: "success, mean over the run", claim: higher() },
    { name: "|tracked − true success|", against: "spo, constant forgetting", claim: lower() },
  ],
  async measure(arm, seed) {
    const task = bandit({ prompts: POOL, answers: 16, seed, success: firstSuccess });
    const single = arm !== "grpo 8 × 8";
    const recipe = await loadRecipe(single ? "spo" : "grpo");
    const params = arm === "spo, constant forgetting" ? { rho_max: 0.875 } : {};
    const learner = new Learner({ ...task, recipe, params, learningRate: 2, seed });
    const ids = Array.from({ length: POOL }, (_, q) => q);
    const stored: (Rollout | undefined)[] = ids.map(() => undefined);
    if (single) {
      const right = ids.map((q) => {
        const random = draws(seed, q, 4);
        return Array.from({ length: FIRST }, () => task.reward(task.policy.rollout(q, random))).reduce(
          (a, b) => a + b,
          0,
        );
      });
      const scale = (n: number) => (FIRST * (n + 0.5)) / (FIRST + 1);
      learner.state = { alpha: right.map(scale), beta: right.map((s) => scale(FIRST - s)) };
    }
    const zero: number[] = [];
    const curve: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const random = draws(seed, step, 2);
      if (single) {
        const ask = { prompt: ids, length: ids.map(() => 1), reward: ids.map(() => 0), mask: ids.map(() => [1]) };
        const weights = decide(recipe, params, ask, learner.state).outputs.sampling_weight as number[];
        const prompts = weighted(random, weights, SINGLES);
        const { rollouts, group } = learner.draw(prompts.map((prompt) => ({ prompt, rollouts: 1 })));
        const raw = {
          stored_logp: stored.map((r) => r?.logp ?? []),
          stored_logp_now: stored.map((r) => (r ? task.policy.score(r.prompt, r.tokens).logp : [])),
        };
        const { prepared } = learner.learn(rollouts, group, { prompt: prompts }, raw);
        for (const r of rollouts) stored[r.prompt] = r;
        zero.push(meanOf(Array.from(prepared.advantage!, (a) => Number(Math.abs(a) < 1e-9))));
      } else {
        const { group, reward } = learner.step(uniformly(random, POOL, 8, 8));
        zero.push(meanOf(flatGroups(group, reward).map(Number)));
      }
      curve.push(meanOf(successes(task)));
    }
    const { alpha, beta } = (single ? learner.state : { alpha: [], beta: [] }) as { alpha: number[]; beta: number[] };
    const truth = successes(task);
    return {
      "rows with advantage 0, share": meanOf(zero),
      "|tracked − true success|": meanOf(alpha.map((a, q) => Math.abs(a / (a + beta[q]) - truth[q]))),
      "success after": curve[STEPS - 1],
      "success, mean over the run": meanOf(curve),
    };
  },
});
