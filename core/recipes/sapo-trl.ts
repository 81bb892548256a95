import { defineRecipe, none, number } from "../recipe.ts";
import { softGate } from "../rl/gate.ts";

export default defineRecipe({
  id: "sapo-trl",
  paper: {
    title: "Soft Adaptive Policy Optimization",
    source:
      "TRL trl/trainer/grpo_trainer.py; verl verl/trainer/ppo/core_algos.py; AReaL areal/utils/functional/functional.py",
  },
  stage: ["advantage", "objective"],
  describe: `The hard clip gives way to a sigmoid of the token ratio, steeper where the advantage is negative: gradients fade
with the distance from 1 and never stop at once. At ratio 1 the gradient is that of −Aρ. verl clamps log-ratios to ±20
first, AReaL takes the token mean; both are left out here. No KL term.`,
  formula: "ℓ = −A·(4/τ)·σ(τ(ρ − 1)), τ = A > 0: tau_pos, else tau_neg; loss = (1/N) Σ_i Σ_t m·ℓ / Σ_t m",
  params: {
    tau_pos: number(1, "temperature where A > 0", { min: 1e-6 }),
    tau_neg: number(1.05, "temperature elsewhere", { min: 1e-6 }),
  },
  gate: (c, ratio, p) => softGate(ratio, c.advantage, p.tau_pos, p.tau_neg),
  kl: none,
});
