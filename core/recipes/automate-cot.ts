import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { clipNorm, projectSimplex } from "../rl/simplex.ts";

export default defineRecipe({
  id: "automate-cot",
  paper: {
    title: "Automatic Prompt Augmentation and Selection with Chain-of-Thought from Labeled Data",
    source: "SHUMKASHUN/Automate-CoT src/example_selection.py",
  },
  stage: ["sampler", "pipeline", "application"],
  describe: `No model is trained: which worked example stands in each slot of a black box's prompt is drawn from one categorical
distribution a slot, whose probabilities are the parameters. Policy gradient with the mean loss as baseline, clipped as a
whole, a gradient step, and a projection onto the simplex with a floor. The plain step in place of Adam, the exact
projection in place of bisection; the released code's aliased tensor (sign flips pile up) is not followed. One draw: 0.`,
  formula:
    "grad_i = (1/(I−1)) Σ_k (L_k − mean L)·u_k, u_k[j] = ±1/p_ij (+ where drawn); p ← project(p − lr·clip(grad))",
  params: {
    lr: number(1e-3, "step size", { min: 0 }),
    optimizer: choice("sgd", ["sgd"], "the step rule"),
    grad_clip: number(3, "largest norm of the whole gradient", { min: 0 }),
    floor: number(1e-4, "least probability of an example", { min: 0, max: 1 }),
    slots: integer(8, "the trainer's: examples in a prompt", { min: 1 }),
    I: integer(10, "the trainer's: prompts drawn a step", { min: 1 }),
  },
  fields: { probs: "raw", samples: "raw", losses: "raw" },
  trains: { refuse: "needs a black box's losses of drawn prompts, no policy: supply probs, samples, losses" },
  outputs: (c, p) => {
    const [samples, losses] = [c.raw<number[][]>("samples"), c.raw<number[]>("losses")];
    const mean = losses.reduce((a, b) => a + b, 0) / Math.max(1, losses.length);
    const grad = c.raw<number[][]>("probs").map((row, slot) =>
      row.map((prob, j) => {
        const sum = losses.reduce((a, loss, k) => a + (loss - mean) * (samples[k][slot] === j ? 1 : -1), 0);
        return losses.length > 1 && prob !== 0 ? sum / prob / (losses.length - 1) : 0;
      }),
    );
    const clipped = clipNorm(grad, p.grad_clip);
    const after = c.raw<number[][]>("probs").map((row, slot) =>
      projectSimplex(
        row.map((x, j) => x - p.lr * clipped[slot][j]),
        p.floor,
      ),
    );
    return { grad, grad_clipped: clipped, probs_after: after };
  },
});
