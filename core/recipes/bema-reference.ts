import { defineRecipe, integer, number, type WeightMoves } from "../recipe.ts";
import { pow } from "../rl/scalar.ts";
import { moved } from "../rl/tracker.ts";

interface Constants {
  update_freq: number;
  ema_power: number;
  bias_power: number;
  lag: number;
  multiplier: number;
}

function moves(step: number, p: Constants): WeightMoves {
  if (step % p.update_freq !== 0) return [];
  const age = p.lag + p.multiplier * step;
  const [share, correction] = [pow(age, -p.ema_power), pow(age, -p.bias_power)];
  return [
    ["ema", { ema: 1 - share, policy: share }],
    ["reference", { ema: 1, policy: correction, start: -correction }],
  ];
}

export default defineRecipe({
  id: "bema-reference",
  paper: {
    title: "EMA Without the Lag: Bias-Corrected Iterate Averaging Schemes",
    source: "huggingface/trl@f2cd577 trl/experimental/bema_for_ref_model/callback.py",
  },
  stage: ["update"],
  describe: `An option of the reference policy, not of the loss: a moving average of the policy with falling weight,
plus a share of the way gone since the start, which takes out the average's lag. A run counts its steps, TRL those of the
optimiser. State, where weights come in a batch: step (t, calls so far), ema, start (θ_0), and reference, the corrected
average. The first call sets all three to the policy.`,
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
  option: true,
  reference: { keeps: ["ema", "start"], moves },
  state: {
    init: () => ({ step: 0, ema: null, start: null, reference: null }),
    update: (c, p) => {
      const policy = c.raw<number[]>("weights");
      const { step, ...kept } = c.state as { step: number } & Record<"ema" | "start" | "reference", number[] | null>;
      if (!kept.ema || !kept.start) return { step: step + 1, ema: policy, start: policy, reference: policy };
      const lists = { policy, ema: kept.ema, start: kept.start, reference: kept.reference ?? policy };
      const { ema, start, reference } = moved(lists, moves(step, p));
      return { step: step + 1, ema, start, reference };
    },
  },
});
