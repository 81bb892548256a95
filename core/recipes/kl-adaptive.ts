import { defineRecipe, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { klEstimate, klPenalty, klToReference } from "../rl/kl.ts";

const measured = (c: Context): number => c.meanTrained(klEstimate(c.logpOld.sub(c.logpRef), "k3")).value();

export default defineRecipe({
  id: "kl-adaptive",
  paper: {
    title: "Fine-Tuning Language Models from Human Preferences",
    source: "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py (AdaptiveKLController)",
  },
  stage: ["objective"],
  describe: `An option: a k3 penalty whose coefficient follows the measured KL: it grows while the KL is above the
target and shrinks below it, slowly (horizon). Measurements come as current_kl with n_steps, else from the batch
itself: the mean of k3 at the rollout policy, with as many steps as trajectories.`,
  formula: "e = clip(KL/target − 1, ±0.2); beta ← beta·(1 + e·n_steps/horizon)",
  params: {
    target: number(0.1, "KL to keep, nats a token", { min: 1e-9 }),
    horizon: number(10000, "steps in which the coefficient can follow", { min: 1 }),
    kl_coef: number(0.001, "coefficient at the start", { min: 0 }),
  },
  fields: { current_kl: "raw", n_steps: "raw" },
  option: true,
  state: {
    init: (p) => ({ kl_coef: p.kl_coef }),
    update: (c, p) => {
      let coefficient = c.state["kl_coef"] as number;
      const given = c.hasRaw("current_kl");
      const kl = given ? c.raw<number[]>("current_kl") : [measured(c)];
      const steps = given ? c.raw<number[]>("n_steps") : [c.trajectory.size];
      const trace = kl.map((x, k) => {
        const error = Math.min(0.2, Math.max(-0.2, x / p.target - 1));
        coefficient *= 1 + (error * steps[k]) / p.horizon;
        return coefficient;
      });
      c.output("trace", trace);
      return { kl_coef: coefficient };
    },
  },
  kl: (c) => klPenalty(c, klToReference(c, "k3"), c.state["kl_coef"] as number),
});
