import { defineRecipe, integer, number } from "../recipe.ts";
import { exp, roundHalfEven } from "../rl/scalar.ts";

const mean = (x: readonly number[]): number => (x.length > 0 ? x.reduce((a, b) => a + b, 0) / x.length : 0);
const square = (x: number): number => x * x;

export default defineRecipe({
  id: "cures",
  paper: {
    title: "CurES: From Gradient Analysis to Efficient Curriculum Learning for Reasoning LLMs",
    arxiv: "2510.01037",
  },
  stage: ["sampler"],
  describe: `An option: draws prompts by their estimated success, and gives each as many rollouts as its share of the gradient's
deviation. Sampling weights are the released code's, with a temperature that follows the successes and makes them almost
flat (the paper has a constant one). Prompts of one outcome get no rollout; where all are such, n_min each (ours).`,
  formula:
    "p̂ = (a+1)/(n+2); w ∝ exp(sqrt(p̂(1−p̂))·tau_scale/(a+1)); σ² = uv²E[g_c²] + u²vE[g_w²] − u²v²(E[g_c] − E[g_w])²; n_q = round(P·n_max·σ_q/Σσ)",
  params: {
    n_min: integer(4, "rollouts of a prompt to estimate from", { min: 0 }),
    n_max: integer(8, "mean rollouts a prompt of the batch", { min: 0, config: "rolloutsPerPrompt" }),
    tau_scale: number(0.01, "the temperature of a prompt is (a + 1) over this", { min: 0 }),
    batch_prompts: integer(64, "P: prompts of the batch", { min: 0, config: "promptsPerStep" }),
  },
  option: true,
  fields: { prompt_stats: "raw", grad_norm_correct: "raw", grad_norm_wrong: "raw" },
  trains: {
    supply: {
      prompt_stats: "prompt-stats",
      grad_norm_correct: "pool-gradients-right",
      grad_norm_wrong: "pool-gradients-wrong",
    },
    draws: "prompts",
  },
  sampler: (c, p) => {
    const stats = c.raw<{ accepted: number; all: number }[]>("prompt_stats");
    const [right, wrong] = [c.raw<number[][]>("grad_norm_correct"), c.raw<number[][]>("grad_norm_wrong")];
    const success = stats.map(({ accepted, all }) => (accepted + 1) / (all + 2));
    const pull = success.map((x, q) => (Math.sqrt(x * (1 - x)) * p.tau_scale) / (stats[q].accepted + 1));
    const weight = pull.map((x) => exp(x - Math.max(...pull)));
    const sigma = stats.map(({ accepted, all }, q) => {
      const u = all > 0 ? accepted / all : 0;
      const v = 1 - u;
      const [a, b] = [mean(right[q].map(square)), mean(wrong[q].map(square))];
      const gap = mean(right[q]) - mean(wrong[q]);
      return Math.sqrt(Math.max(0, u * v * v * a + u * u * v * b - square(u * v * gap)));
    });
    const total = sigma.reduce((a, b) => a + b, 0);
    const sum = weight.reduce((a, b) => a + b, 0);
    c.output("difficulty", success);
    c.output(
      "sampling_weight",
      weight.map((w) => w / sum),
    );
    c.output("sigma", sigma);
    c.output(
      "rollouts",
      sigma.map((s) => (total > 0 ? roundHalfEven((p.batch_prompts * p.n_max * s) / total) : p.n_min)),
    );
  },
});
