import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { mixedGroups } from "../rl/filter.ts";
import { ppoClip } from "../rl/gate.ts";
import { members } from "../rl/groups.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";

export default defineRecipe({
  id: "unlikeliness",
  paper: {
    title: "Rewarding the Unlikely: Lifting GRPO Beyond Distribution Sharpening",
    source: "github AndreHe02/rewarding-unlikely-release verl/trainer/ppo/ray_lean_trainer.py",
  },
  stage: ["reward", "filter"],
  describe: `GRPO makes likely solutions likelier; here a right one loses the more of its reward the likelier it was in its
group, so that rare ones gain. Groups of equal rewards (before the cut) are dropped. Of the recipe, two epochs a batch, the
buffer that refills dropped groups and the skipping of steps with norm above 20 are the trainer's.`,
  formula: "R' = R·(1 − rank_penalty·rank/G), rank 0 the least mean lp_old; A = (R' − μ)/(σ + adv_eps)",
  params: {
    rank_penalty: number(0.25, "what the likeliest nearly loses", { min: 0, max: 1 }),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    eps_clip: number(0.2, "clip range on both sides of 1", { min: 0, max: 1 }),
    kl_coef: number(0.1, "coefficient of the k3 penalty to the reference", { min: 0 }),
    aggregation: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
    filter: choice(
      "applied",
      ["applied", "reported, not applied to the loss"],
      "whether groups of equal rewards leave the loss",
    ),
  },
  reward: (c, p) => {
    const likely = c.logpOld.meanOver(c.trajectory, c.mask).values();
    const share = new Float64Array(likely.length);
    for (const group of members(c)) {
      const order = [...group].sort((a, b) => likely[a] - likely[b] || a - b);
      order.forEach((i, rank) => {
        share[i] = rank / group.length;
      });
    }
    return c.reward.mul(c.lift(c.trajectory, share).mul(p.rank_penalty).not());
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof, rawSingles: true }),
  filter: (c, p) => {
    const keep = mixedGroups(c, c.givenReward);
    if (p.filter === "applied") return { keep, leftOut: true };
    c.outputFlags("keep", keep);
    return {};
  },
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_clip, hi: p.eps_clip }),
  kl: (c, p) => (p.kl_coef === 0 ? c.number(0) : klPenalty(c, klToReference(c, "k3"), p.kl_coef)),
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
