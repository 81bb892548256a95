import { defineRecipe, none, number, optional } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";
import { conflicts } from "../rl/conflict.ts";
import type { Context } from "../rl/context.ts";
import { meanEntropy } from "../rl/entropy.ts";
import { ALL } from "../rl/level.ts";
import { onPolicyRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";

interface Gate {
  H_initial: number | null;
  H_threshold: number;
}

/** Mean entropy of the policy before training: given, or that of the first batch. */
const initial = (c: Context, p: Gate): number =>
  p.H_initial ?? (c.state["H_initial"] as number | null) ?? c.entropy.stop().meanOver(ALL, c.mask).value();

const open = (c: Context, p: Gate): Vec =>
  initial(c, p) > p.H_threshold ? c.number(1, c.trajectory) : meanEntropy(c).le(p.H_threshold);

export default defineRecipe({
  id: "gtpo-v2",
  paper: {
    title: "GTPO: Stabilizing Group Relative Policy Optimization via Gradient and Entropy Control",
    source: "github winstonsmith1897/GTPO README.md, gtpo/gtpo_training.py",
  },
  stage: ["filter", "advantage", "objective"],
  describe: `Second version: as gtpo-trajectory, but completions of high entropy are dropped only where the policy started
below ln 2, and the loss is the mean over completions of their token means, as the README has it. The output
conflict_tokens repeats a quirk of the released code (runs from the end are not turned back) and enters nothing.
State: H_initial.`,
  formula:
    "A = δ·(R − mean_g − entropy_scale·H̄), δ = [H_ini > ln 2 or H̄ ≤ ln 2]; loss = −mean_i A_i mean_t λ·exp(lp − sg(lp))",
  params: {
    w_conflict: number(2, "weight of a conflict token in a better completion"),
    entropy_scale: number(0.1, "advantage lost for a nat of mean entropy"),
    H_threshold: number(Math.LN2, "mean entropy above which a completion is dropped, nats"),
    H_initial: optional(null, "mean entropy before training; null: that of the first batch"),
  },
  state: { init: () => ({ H_initial: null }), update: (c, p) => ({ H_initial: initial(c, p) }) },
  advantage: (c, p) => {
    const plain = centred(c.reward, c.group);
    const { weight, counted } = conflicts(c, plain, p.w_conflict);
    c.carry("conflict_weight", weight);
    c.output("conflict_tokens", counted);
    return plain.sub(meanEntropy(c).mul(p.entropy_scale)).mul(open(c, p));
  },
  filter: (c, p) => ({ keep: open(c, p) }),
  weight: (c) => c.field("conflict_weight"),
  ratio: onPolicyRatio,
  gate: (c, ratio) => ratio.mul(c.advantage).neg(),
  kl: none,
});
