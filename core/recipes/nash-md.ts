import { defineRecipe, number } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { sumLogp } from "../rl/preference.ts";

export default defineRecipe({
  id: "nash-md",
  paper: {
    title: "Nash Learning from Human Feedback",
    source: "huggingface/trl@f2cd577 trl/experimental/nash_md/nash_md_trainer.py",
  },
  stage: ["preference"],
  describe: `No advantage: REINFORCE on the judged probability of beating an answer of a mixture of policy and
reference, with a KL penalty by its score function. mixture_coef matters only where the opponent is sampled.`,
  formula: "loss = mean_i [beta·Σ_t sg(lp − lp_ref)·lp − (P_i − ½)·Σ_t lp]",
  params: {
    beta: number(0.1, "coefficient of the KL to the reference", { min: 0 }),
    mixture_coef: number(0.5, "the sampler's: share of the reference in the opponent", { min: 0, max: 1 }),
  },
  fields: { win_probability: "trajectory" },
  trains: { supply: { win_probability: "win-probability" } },
  loss: (c, p) => {
    const kl = c.logp.sub(c.logpRef).stop().mul(c.logp);
    const gain = c.field("win_probability").sub(0.5);
    return trajectoryMean(c, sumLogp(c, kl).mul(p.beta).sub(sumLogp(c).mul(gain)));
  },
});
