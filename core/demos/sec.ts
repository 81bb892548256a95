import { loadRecipe } from "../recipe.ts";
import { log } from "../rl/scalar.ts";
import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { Learner } from "./lib/learner.ts";
import { draws, normal, type Rollout, Tabular } from "./lib/tabular.ts";
import { between, higher, lower } from "./lib/verdict.ts";

const [LEVELS, V, STEPS, GROUPS, RIGHT] = [4, 16, 60, 16, 0];
const FIRST = [0.5, 0.1, 0.01, 0.001, 1e-4];

/**
 * Levels build on each other: the logits of level c are the sum of the rows of levels 0 … c, so what an easy level teaches
 * helps all harder ones. The last level is never trained on.
 */
function task(seed: number): Tabular {
  const policy = new Tabular({
    prompts: LEVELS + 1,
    vocabulary: V,
    rows: LEVELS + 1,
    features: (level) => Array.from({ length: level + 1 }, (_, c) => c),
  });
  const random = draws(seed, 0, 1);
  for (let k = 0; k < policy.logits.length; k++) policy.logits[k] = k % V === RIGHT ? 0 : 0.3 * normal(random);
  FIRST.forEach((chance, level) => {
    const p = policy.answers(level)[RIGHT];
    policy.logits[level * V + RIGHT] += log(chance / (1 - chance)) - log(p / (1 - p));
  });
  return policy;
}

export default defineDemo({
  id: "sec",
  claim:
    "A bandit over difficulty levels moves from easy to hard by itself and beats uniform draws on a harder held-out level; hard-to-easy stalls.",
  task: "Tabular policy, 4 levels that share what they learn (first success 50, 10, 1, 0.1 %) and a harder one held out; 60 steps of 16 prompts × 8 rollouts, tau 1, the same objective in all arms.",
  baseline: "uniform",
  system: "sec",
  others: ["easy to hard", "hard to easy"],
  seeds: 8,
  measures: [
    { name: "rise of the mean level drawn, first to last sixth", claim: between(0.1, Number.POSITIVE_INFINITY) },
    { name: "held-out success after", claim: higher() },
    { name: "held-out success, mean over the run", claim: higher() },
    { name: "held-out success after", against: "easy to hard" },
    { name: "held-out success, mean over the run", of: "hard to easy", claim: lower() },
  ],
  async measure(arm, seed) {
    const policy = task(seed);
    const reward = ({ tokens }: Rollout) => Number(tokens[0] === RIGHT);
    const learner = new Learner({ policy, reward, recipe: await loadRecipe("sec"), learningRate: 0.25, seed });
    let weights = new Array<number>(LEVELS).fill(1 / LEVELS);
    const drawn: number[] = [];
    const curve: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const random = draws(seed, step, 2);
      const phase = Math.floor((LEVELS * step) / STEPS);
      const pick = () => {
        if (arm === "easy to hard") return phase;
        if (arm === "hard to easy") return LEVELS - 1 - phase;
        if (arm === "uniform") return random.below(LEVELS);
        let left = random.uniform();
        const level = weights.findIndex((w) => {
          left -= w;
          return left < 0;
        });
        return level < 0 ? LEVELS - 1 : level;
      };
      const levels = Array.from({ length: GROUPS }, pick);
      // A category is a level: the recipe's values follow |A|, the draw is softmax of them.
      const { rollouts, group } = learner.draw(levels.map((prompt) => ({ prompt, rollouts: 8 })));
      const { prepared } = learner.learn(rollouts, group, { category_of_group: levels });
      const after = prepared.outputs.sampling_weight_after as number[];
      // Levels that no batch has shown yet have the value 0.
      if (after.length === LEVELS) weights = after;
      drawn.push(meanOf(levels));
      curve.push(policy.answers(LEVELS)[RIGHT]);
    }
    return {
      "rise of the mean level drawn, first to last sixth": meanOf(drawn.slice(-10)) - meanOf(drawn.slice(0, 10)),
      "held-out success after": curve[STEPS - 1],
      "held-out success, mean over the run": meanOf(curve),
    };
  },
});
