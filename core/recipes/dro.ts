import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { score } from "../rl/gate.ts";
import { logRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "dro",
  paper: {
    title: "Offline Regularised Reinforcement Learning for Large Language Models Alignment",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py",
  },
  stage: ["objective"],
  describe: `No ratio and no clip: the score function plus a quadratic penalty that holds the log-ratio to the rollout
policy near 0. verl has no default for beta and demands one.`,
  formula: "ℓ = −lp·A + (beta/2)(lp − lp_old)²",
  params: {
    beta: number(1, "weight of the penalty", { min: 1e-12 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  gate: (c, _ratio, p) =>
    score(c, c.advantage).add(
      logRatio(c)
        .square()
        .mul(p.beta / 2),
    ),
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
