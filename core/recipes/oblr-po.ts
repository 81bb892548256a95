import { defineRecipe, none, number } from "../recipe.ts";
import { seqMeanTokenSum } from "../rl/aggregate.ts";
import { score } from "../rl/gate.ts";
import { nested, unnest } from "../rl/nested.ts";

export default defineRecipe({
  id: "oblr-po",
  paper: { title: "OBLR-PO: A Theoretical Framework for Stable Reinforcement Learning", arxiv: "2511.23310" },
  stage: ["advantage", "update", "theory"],
  describe: `REINFORCE with the baseline of least variance, rewards weighted by the squared norm of each trajectory's score
∇log π(o), and a learning rate by the signal-to-noise ratio of the gradient (output lr; the trainer's own rate stands).
Reconstruction from the abstract and the standard derivation. Without the field score (one vector a trajectory) the norm
is a proxy of ours from rollouts: Σ_t (1 − π_t)², the sampled logit's part of the score.`,
  formula: "b = Σ‖s_i‖²R_i/Σ‖s_i‖²; A = R − b; eta = min(lr_max, (1/smoothness)·‖ḡ‖²/(‖ḡ‖² + V/N))",
  params: {
    smoothness: number(4, "smoothness constant L of the objective", { min: 1e-12 }),
    lr_max: number(1, "largest learning rate", { min: 0 }),
  },
  fields: { score: "raw" },
  advantage: (c, p) => {
    const rows = c.hasRaw("score")
      ? nested(c, "score", c.raw<number[][]>("score"), { within: [c.trajectory], depth: 2 })
      : undefined;
    if (rows && new Set(c.raw<number[][]>("score").map((s) => s.length)).size > 1) {
      c.refuse("oblr-po: 'score' has vectors of several lengths", "give one number a parameter");
    }
    const norm = rows
      ? rows.vec.square().sumOver(c.trajectory)
      : c.mask.mul(c.logpOld.exp().not().square()).sumOver(c.trajectory);
    const measured = norm.sumOver(c.group).gt(0);
    const advantage = measured.where(c.reward.centreOver(c.group, norm), c.reward);
    c.output("baseline", c.reward.meanOver(c.group, norm));
    if (!rows) return advantage;
    const level = rows.levels[1];
    const place = c.keyed("place", level, c.number(1, level).positionOver(c.trajectory).values());
    const terms = rows.vec.mul(advantage);
    const n = c.trajectory.size;
    const mean = terms.sumOver(place).div(n);
    const signal = mean.square().sumOver(c.all);
    const noise = terms
      .sub(mean)
      .square()
      .sumOver(c.all)
      .div(n - 1);
    c.output("gradient", unnest([place], mean));
    c.output("variance", noise);
    c.output("snr", signal.div(noise.div(n)));
    c.output(
      "lr",
      signal
        .div(signal.add(noise.div(n)))
        .div(p.smoothness)
        .min(p.lr_max),
    );
    return advantage;
  },
  gate: (c) => score(c, c.advantage),
  kl: none,
  aggregate: (c, loss) => seqMeanTokenSum(c, loss),
});
