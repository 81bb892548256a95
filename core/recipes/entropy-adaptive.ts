import { choice, defineRecipe, none, number } from "../recipe.ts";
import { aggregate } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "entropy-adaptive",
  paper: { title: "Skywork Open Reasoner 1 Technical Report", arxiv: "2505.22312", source: "TRL grpo_trainer.py" },
  stage: ["objective"],
  describe: `GRPO with an entropy bonus whose coefficient follows the entropy: it rises by a step while the last step's
entropy is at or below the target and falls otherwise; the bonus is only paid in the first case. The mean entropy counts
as a constant for lp; its own derivative is the usual one. State: entropy_coef, last_entropy (null: none yet).`,
  formula: "loss = policy loss − coef·[last_entropy ≤ target]·Σ mH / Σ m",
  params: {
    loss_type: choice("dapo", ["dapo", "grpo"], "token mean of the step, or mean of the trajectories' means"),
    entropy_target: number(0.2, "entropy to keep, nats", { min: 0 }),
    entropy_coef_delta: number(0.005, "step of the coefficient", { min: 0 }),
    entropy_coef_min: number(0, "least coefficient", { min: 0 }),
    entropy_coef_max: number(1, "largest coefficient", { min: 0 }),
  },
  state: {
    init: (p) => ({ entropy_coef: p.entropy_coef_min, last_entropy: null }),
    step: (c, p) => {
      const entropy = c.entropy.meanOver(c.all, c.mask).value();
      const coef = c.state["entropy_coef"] as number;
      const low = entropy <= p.entropy_target;
      const moved = low
        ? Math.min(coef + p.entropy_coef_delta, p.entropy_coef_max)
        : Math.max(coef - p.entropy_coef_delta, p.entropy_coef_min);
      return { entropy_coef: moved, last_entropy: entropy };
    },
  },
  kl: none,
  entropy: (c, p) => {
    const last = c.state["last_entropy"] as number | null;
    const coef = last !== null && last <= p.entropy_target ? (c.state["entropy_coef"] as number) : 0;
    return c.entropy.meanOver(c.all, c.mask).mul(coef);
  },
  aggregate: (c, loss, p) => aggregate(c, loss, p.loss_type === "dapo" ? "token-mean" : "seq-mean-token-mean"),
});
