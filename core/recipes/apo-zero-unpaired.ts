import { defineRecipe, number } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { implicitReward } from "../rl/preference.ts";

export default defineRecipe({
  id: "apo-zero-unpaired",
  paper: {
    title: "Anchored Preference Optimization and Contrastive Revisions: Addressing Underspecification in Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/kto_trainer.py",
  },
  stage: ["preference"],
  describe: `No pairs, no group: each answer is good or bad (correct); good ones go up and bad ones down against the
reference, each through a sigmoid that saturates. KTO without its reference point (the output kl is 0).`,
  formula: "good: w_pos·(1 − σ(beta·h)), bad: w_neg·σ(beta·h), h = Σ_t (lp − lp_ref); loss = mean over answers",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 0 }),
    w_pos: number(1, "weight of good answers", { min: 0 }),
    w_neg: number(1, "weight of bad answers", { min: 0 }),
  },
  trains: { data: "labels" },
  loss: (c, p) => {
    c.output("kl", c.number(0));
    const x = implicitReward(c).mul(p.beta);
    return trajectoryMean(c, c.field("correct").where(x.sigmoid().not().mul(p.w_pos), x.sigmoid().mul(p.w_neg)));
  },
});
