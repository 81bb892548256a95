import { defineRecipe, integer, number } from "../recipe.ts";
import { movedTowards } from "../rl/tracker.ts";

export default defineRecipe({
  id: "ref-model-sync",
  paper: {
    title: "Learn Your Reference Model for Real Good Alignment",
    source: "huggingface/trl@f2cd577 trl/trainer/callbacks.py",
  },
  stage: ["update"],
  describe: `An option of the reference policy, not of the loss: every so many steps it moves a share of the way to the
policy, all weights alike. State: step (calls so far) and ref; at the first call without a ref it is the policy.`,
  formula: "every `every` steps: ref ← alpha·policy + (1 − alpha)·ref",
  params: {
    alpha: number(0.6, "share of the policy", { min: 0, max: 1 }),
    every: integer(512, "steps between two updates", { min: 1 }),
  },
  fields: { weights: "raw" },
  trains: {
    refuse:
      "needs the weights themselves, which a batch of rollouts does not carry: supply the field weights of each step",
  },
  option: true,
  state: {
    init: () => ({ step: 0, ref: null }),
    update: (c, p) => {
      const policy = c.raw<number[]>("weights");
      const { step, ref } = c.state as { step: number; ref: number[] | null };
      const due = step % p.every === 0;
      return { step: step + 1, ref: due || !ref ? movedTowards(ref ?? policy, policy, p.alpha) : ref };
    },
  },
});
