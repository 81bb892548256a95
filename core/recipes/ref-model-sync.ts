import { defineRecipe, integer, number, type WeightMoves } from "../recipe.ts";
import { moved } from "../rl/tracker.ts";

const moves = (step: number, { alpha, every }: { alpha: number; every: number }): WeightMoves =>
  step % every === 0 ? [["reference", { reference: 1 - alpha, policy: alpha }]] : [];

export default defineRecipe({
  id: "ref-model-sync",
  paper: {
    title: "Learn Your Reference Model for Real Good Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/callbacks.py",
  },
  stage: ["update"],
  describe: `An option of the reference policy, not of the loss: every so many steps it moves a share of the way to the
policy, all weights alike. A run counts its steps (of rollout and training), TRL those of the optimiser. State, where weights
come in a batch: step (calls so far) and ref; at the first call without a ref it is the policy.`,
  formula: "every `every` steps: ref ← alpha·policy + (1 − alpha)·ref",
  params: {
    alpha: number(0.6, "share of the policy", { min: 0, max: 1 }),
    every: integer(512, "steps between two updates", { min: 1 }),
  },
  fields: { weights: "raw" },
  option: true,
  reference: { moves },
  state: {
    init: () => ({ step: 0, ref: null }),
    update: (c, p) => {
      const policy = c.raw<number[]>("weights");
      const { step, ref } = c.state as { step: number; ref: number[] | null };
      return { step: step + 1, ref: moved({ policy, reference: ref ?? policy }, moves(step, p)).reference };
    },
  },
});
