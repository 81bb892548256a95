import { defineRecipe, integer, number } from "../recipe.ts";
import { pow } from "../rl/scalar.ts";
import { movedTowards } from "../rl/tracker.ts";

interface Averages {
  step: number;
  ema: number[] | null;
  start: number[] | null;
  reference: number[] | null;
}

export default defineRecipe({
  id: "bema-reference",
  paper: {
    title: "EMA Without the Lag: Bias-Corrected Iterate Averaging Schemes",
    source: "huggingface/trl@f2cd577 trl/experimental/bema_for_ref_model/callback.py",
  },
  stage: ["update"],
  describe: `An option of the reference policy, not of the loss: a moving average of the policy with falling weight,
plus a share of the way gone since the start, which takes out the average's lag. State: step (t, calls so far), ema,
start (θ_0), and reference, the corrected average. The first call sets all three to the policy.`,
  formula:
    "β_t = (lag + multiplier·t)^−ema_power; EMA ← (1 − β_t)EMA + β_t θ; BEMA = EMA + (lag + multiplier·t)^−bias_power·(θ − θ_0)",
  params: {
    update_freq: integer(400, "steps between two updates", { min: 1 }),
    ema_power: number(0.5, "κ, by which the average's weight falls", { min: 0 }),
    bias_power: number(0.2, "η, by which the correction falls", { min: 0 }),
    lag: number(10, "ρ", { min: 1e-9 }),
    multiplier: number(1, "γ", { min: 0 }),
  },
  fields: { weights: "raw" },
  trains: {
    refuse:
      "needs the weights themselves, which a batch of rollouts does not carry: supply the field weights of each step",
  },
  option: true,
  state: {
    init: () => ({ step: 0, ema: null, start: null, reference: null }),
    update: (c, p) => {
      const policy = c.raw<number[]>("weights");
      const { step, ema, start, reference } = c.state as unknown as Averages;
      if (!ema || !start) return { step: step + 1, ema: policy, start: policy, reference: policy };
      if (step % p.update_freq !== 0) return { step: step + 1, ema, start, reference };
      const age = p.lag + p.multiplier * step;
      const average = movedTowards(ema, policy, pow(age, -p.ema_power));
      const correction = pow(age, -p.bias_power);
      const corrected = average.map((x, k) => x + correction * (policy[k] - start[k]));
      return { step: step + 1, ema: average, start, reference: corrected };
    },
  },
});
