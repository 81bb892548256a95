import { defineRecipe, none, number } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";
import { conflicts } from "../rl/conflict.ts";
import { meanEntropy } from "../rl/entropy.ts";
import { ALL } from "../rl/level.ts";
import { onPolicyRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "gtpo-trajectory",
  paper: {
    title: "GTPO: Trajectory-Based Policy Optimization in Large Language Models",
    arxiv: "2508.03772",
    source: "github winstonsmith1897/GTPO gtpo/gtpo_training.py",
  },
  stage: ["advantage", "filter", "objective"],
  describe: `First version. Tokens at the same place in better and worse completions (format tags) are kept from being
pushed down; completions of high entropy are dropped and entropy is charged, in place of a reference. No ratio, no clip, no
KL. Quirks of the code: summed over completions, and each divided by the longer of its two runs of conflict tokens.`,
  formula: "A = (R − mean_g) − entropy_scale·H̄ where H̄ ≤ entropy_max; loss = −Σ_i A_i/(n_i T_i) Σ_t δ·exp(lp − sg(lp))",
  params: {
    w_conflict: number(2, "weight of a conflict token in a better completion"),
    entropy_max: number(0.7, "mean entropy above which a completion is dropped, nats"),
    entropy_scale: number(0.1, "advantage lost for a nat of mean entropy"),
  },
  advantage: (c, p) => {
    const plain = centred(c.reward, c.group);
    const { forward, backward, weight } = conflicts(c, plain, p.w_conflict);
    const entropy = meanEntropy(c);
    const runs = forward.max(backward).max(1);
    c.carry("conflict_weight", weight);
    c.carry("conflict_count", runs);
    c.output("n_conflict", runs);
    c.output("trajectory_entropy", entropy);
    return plain.sub(entropy.mul(p.entropy_scale)).mul(entropy.le(p.entropy_max));
  },
  filter: (c, p) => ({ keep: meanEntropy(c).le(p.entropy_max) }),
  weight: (c) => c.field("conflict_weight"),
  ratio: onPolicyRatio,
  gate: (c, ratio) => ratio.mul(c.advantage).neg(),
  kl: none,
  aggregate: (c, loss) =>
    loss.mul(c.kept).sumOver(c.trajectory).div(c.trained).div(c.field("conflict_count")).sumOver(ALL),
});
