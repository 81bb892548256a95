import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";

export default defineRecipe({
  id: "corpo",
  paper: { title: "The Peril of Preference: Why GRPO fails on Ordinal Rewards", arxiv: "2511.04439" },
  stage: ["advantage"],
  describe: `With graded rewards a mean baseline pays failures that are merely less bad than their group. Here the baseline
never falls below the reward of the worst acceptable answer; no division by the deviation. A group of one, and a group
that failed as a whole, are pushed down; equal and acceptable ones have advantage 0. No KL.`,
  formula: "A_i = R_i − max(r_min_correct, mean_g R)",
  params: {
    r_min_correct: number(0.5, "smallest reward that counts as correct on the task's scale"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    agg: choice("seq-mean-token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const present = c.present("reward");
    return centred(c.reward, c.group, present).min(c.reward.sub(p.r_min_correct)).mul(present);
  },
  kl: none,
  aggregate: (c, loss, p) => aggLoss(c, loss, p.agg),
});
