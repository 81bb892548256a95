import { defineRecipe, number } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";
import { implicitReward } from "../rl/preference.ts";

export default defineRecipe({
  id: "copg",
  paper: {
    title: "Contrastive Policy Gradient: Aligning LLMs on sequence-level scores in a supervised-friendly fashion",
    arxiv: "2406.19185",
  },
  stage: ["objective", "preference"],
  describe: `Off-policy without importance weights: the squared differences of the regularised returns of all pairs of one
prompt's answers, with the gradient through both; no ratio, no clip, no value model. Its minimum is pi_ref·exp(R/beta)
over any data of full support; on its own samples its gradient is RLOO's. A group of one adds 0 and counts.`,
  formula: "Rβ = R − beta·Σ_t m(lp − lp_ref); loss = mean_q (1/(k−1)) Σ_{i>j} (Rβ_i − Rβ_j)²",
  params: { beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  loss: (c, p) => {
    const present = c.present("reward");
    const regularised = c.reward.sub(implicitReward(c).mul(p.beta));
    c.output("regularised_return", regularised);
    // The k(k−1)/2 squared differences of a group sum to k times its squared deviations from the mean.
    const k = present.sumOver(c.group);
    const pairs = centred(regularised, c.group, present).square().sumOver(c.group).mul(k);
    return pairs.div(k.sub(1).max(0)).meanOver(c.all);
  },
});
