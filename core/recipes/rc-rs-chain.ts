import { anything, defineRecipe } from "../recipe.ts";
import { rejection } from "../rl/mismatch.ts";

export default defineRecipe({
  id: "rc-rs-chain",
  paper: {
    title: "When Speed Kills Stability: Demystifying RL Collapse from the Training-Inference Mismatch",
    source: "verl verl/trainer/ppo/rollout_corr_helper.py",
  },
  stage: ["filter"],
  describe: `An option: a token must pass a chain of criteria, each measured before any of them has dropped a token.
L = lp_old − lp_rollout, clamped to ±20; dropped tokens leave the divisors too. verl leaves rs and threshold
open by default, and so does this: nothing is dropped until both are given.`,
  formula: "keep = Π_k [criterion k within threshold k]; k1 = −L, k2 = L²/2, k3 = exp(L) − 1 − L",
  params: {
    rs: anything<string | null>(
      null,
      "criteria, joined by commas: token, seq_sum, seq_mean or seq_max with _k1, _k2, _k3",
    ),
    threshold: anything<string | number | null>(null, "'lo_hi' or one number each, joined by commas; null: off"),
  },
  option: true,
  filter: (c, p) => ({ keepToken: rejection(c, p.rs, p.threshold), leftOut: true }),
});
