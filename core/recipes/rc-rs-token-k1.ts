import { anything, defineRecipe } from "../recipe.ts";
import { rejection } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "rc-rs-token-k1",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "verl verl/trainer/ppo/rollout_corr_helper.py",
  },
  stage: ["filter"],
  describe: `An option: a token is dropped if the trainer's ratio to the sampler leaves a band round 1.
L = lp_old − lp_rollout, clamped to ±20; dropped tokens leave the divisors too. verl leaves rs and threshold
open by default; here rs is the criterion of the name, and without a threshold nothing is dropped.`,
  formula: "keep_t = ln lo ≤ −L_t ≤ ln hi; one number h: [1/h, h]",
  params: {
    rs: anything<string | null>(
      "token_k1",
      "criteria, joined by commas: token, seq_sum, seq_mean or seq_max with _k1, _k2, _k3",
    ),
    threshold: anything<string | number | null>(null, "'lo_hi' or one number each, joined by commas; null: off"),
  },
  option: true,
  filter: (c, p) => ({ keepToken: rejection(c, p.rs, p.threshold), leftOut: true }),
});
