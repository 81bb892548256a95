import { defineRecipe } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { NEEDS_DEMONSTRATIONS } from "../rl/distill.ts";

export default defineRecipe({
  id: "dft",
  paper: {
    title: "On the Generalization of SFT: A Reinforcement Learning Perspective with Reward Rectification",
    source: "huggingface/trl@f2cd577 trl/trainer/sft_trainer.py",
  },
  stage: ["objective"],
  describe: `Supervised fine-tuning whose token loss is weighted by the token's own probability, without gradient: the
gradient of SFT has the inverse of it built in, which this takes out.`,
  formula: "loss = −Σ m·sg(e^lp)·lp / Σ m",
  params: {},
  trains: NEEDS_DEMONSTRATIONS,
  loss: (c) => tokenMean(c, c.logp.exp().stop().mul(c.logp).neg()),
});
