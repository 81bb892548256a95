import { choice, defineRecipe, integer, number, optional } from "../recipe.ts";
import type { Context } from "../rl/context.ts";

interface Tracker {
  alpha: number[];
  beta: number[];
  /** lp_old − lp, mean over trained tokens, of the last optimiser steps. */
  kl: number[];
}

interface Start {
  v_init: number;
  n_init: number;
}

/** The counts of the state, longer by prompts that it has not seen. */
function counts(c: Context, { v_init, n_init }: Start): { alpha: number[]; beta: number[] } {
  const { alpha, beta } = c.state as unknown as Tracker;
  const size = Math.max(
    alpha.length,
    ...c
      .field("prompt")
      .values()
      .map((x) => x + 1),
  );
  const grown = (list: number[], start: number): number[] =>
    Array.from({ length: size }, (_, x) => list[x] ?? start * n_init);
  return { alpha: grown(alpha, v_init), beta: grown(beta, 1 - v_init) };
}

/** Success rate of each prompt. */
const values = (c: Context, start: Start): number[] => {
  const { alpha, beta } = counts(c, start);
  return alpha.map((a, x) => (a + beta[x] > 0 ? a / (a + beta[x]) : 0));
};

export default defineRecipe({
  id: "mssr",
  paper: { title: "Stable and Efficient Single-Rollout RL for Multimodal Reasoning", arxiv: "2512.18215" },
  stage: ["advantage", "sampler"],
  describe: `One rollout a prompt: the baseline is the prompt's own success rate, a Beta tracker that forgets (the more the policy
moved, the faster), advantages are normalised over the batch, and an entropy bonus bounded by |A| keeps exploration without
flipping a sign. The map from KL to the forgetting rate is ours: linear in KL/target. Outputs value and sampling_weight
by prompt. prompt is the index of each rollout's prompt, the same at every step.`,
  formula: "A = Z(R − α/(α+β)); Â = A + min(entropy_alpha·sg H, |A|/entropy_kappa); α ← rho·α + R, β ← rho·β + 1 − R",
  params: {
    entropy_alpha: number(0.4, "coefficient of the entropy in the advantage", { min: 0 }),
    entropy_kappa: number(2, "the bonus is at most |A| over this", { min: 1 }),
    rho: optional(null, "forgetting rate (null: by the policy's drift)", { min: 0, max: 1 }),
    rho_min: number(0.875, "rate at the target drift or beyond", { min: 0, max: 1 }),
    rho_max: number(0.96, "rate without drift", { min: 0, max: 1 }),
    kl_window: integer(20, "optimiser steps whose drift is averaged", { min: 1 }),
    kl_target: number(0.06, "drift in nats", { min: 1e-12 }),
    v_init: number(0.5, "value of a new prompt", { min: 0, max: 1 }),
    n_init: number(1, "pseudo-counts of a new prompt", { min: 0 }),
    eps: number(1e-6, "added to the batch's standard deviation", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the variance: n or n − 1"),
  },
  fields: { prompt: "trajectory" },
  sampler: (c, p) =>
    c.output(
      "sampling_weight",
      values(c, p).map((v) => Math.sqrt(Math.max(0, v * (1 - v)))),
    ),
  advantage: (c, p) => {
    const value = values(c, p);
    c.output("value", value);
    const prompt = c.field("prompt").values();
    const above = c.reward.sub(
      c.lift(
        c.trajectory,
        prompt.map((x) => value[x]),
      ),
    );
    const deviation = above.stdOver(c.all, { ddof: p.std === "sample" ? 1 : 0 });
    const advantage = above.centreOver(c.all).div(deviation.add(p.eps));
    c.output("advantage_norm", advantage);
    return advantage.add(c.entropy.mul(p.entropy_alpha).min(advantage.abs().div(p.entropy_kappa)));
  },
  state: {
    init: () => ({ alpha: [], beta: [], kl: [] }),
    update: (c, p) => {
      const { alpha, beta } = counts(c, p);
      const kl = c.state["kl"] as number[];
      const drift = kl.reduce((a, b) => a + b, 0) / Math.max(1, kl.length);
      const part = Math.min(1, Math.max(0, drift / p.kl_target));
      const rho = p.rho ?? p.rho_max - (p.rho_max - p.rho_min) * part;
      const reward = c.reward.values();
      c.field("prompt")
        .values()
        .forEach((x, i) => {
          alpha[x] = rho * alpha[x] + reward[i];
          beta[x] = rho * beta[x] + 1 - reward[i];
        });
      return { alpha, beta, kl };
    },
    step: (c, p) => {
      const drift = c.meanTrained(c.logpOld.sub(c.logp.stop())).value();
      return { ...c.state, kl: [...(c.state["kl"] as number[]), drift].slice(-p.kl_window) };
    },
  },
  trains: { supply: { prompt: "prompt" }, draws: "prompts" },
});
