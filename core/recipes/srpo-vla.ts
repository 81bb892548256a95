import { defineRecipe, integer, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { centroid, dbscan, distance, type Point, standardised } from "../rl/cluster.ts";
import { sigmoid } from "../rl/scalar.ts";

interface Progress {
  dbscan_eps: number;
  dbscan_min_samples: number;
  steepness: number;
  offset: number;
  max_fail_reward: number;
}

/** What the failures of one task earn for being near to its successes. */
function failureRewards(failed: readonly Point[], solved: readonly Point[], p: Progress): number[] {
  if (solved.length === 0) return failed.map(() => 0);
  const clusters = dbscan(standardised(solved), p.dbscan_eps, p.dbscan_min_samples);
  const centres = clusters.map((own) => centroid(own.map((i) => solved[i])));
  if (centres.length === 0) centres.push(centroid(solved));
  const gap = failed.map((e) => Math.min(...centres.map((centre) => distance(e, centre))));
  const [least, most] = [Math.min(...gap), Math.max(...gap)];
  const unit = (d: number): number => (most - least < 1e-6 ? 0.5 : (d - least) / (most - least));
  return gap.map((d) => p.max_fail_reward * sigmoid(p.steepness * (p.offset - unit(d))));
}

/** 1 for a success, progress for a failure, 0 for an episode without an embedding (all 0). */
function rewards(complete: ArrayLike<number>, task: ArrayLike<unknown>, embedding: readonly Point[], p: Progress) {
  const reward = new Float64Array(embedding.length);
  const valid = embedding.flatMap((e, i) => (e.some((x) => x !== 0) ? [i] : []));
  for (const name of new Set(Array.from(task))) {
    const own = valid.filter((i) => task[i] === name);
    const solved = own.filter((i) => complete[i] !== 0);
    const failed = own.filter((i) => complete[i] === 0);
    for (const i of solved) reward[i] = 1;
    const earned = failureRewards(
      failed.map((i) => embedding[i]),
      solved.map((i) => embedding[i]),
      p,
    );
    failed.forEach((i, k) => {
      reward[i] = earned[k];
    });
  }
  return reward;
}

export default defineRecipe({
  id: "srpo-vla",
  paper: {
    title: "SRPO: Self-Referential Policy Optimization for Vision-Language-Action Models",
    arxiv: "2511.15605",
    source: "sii-research/siiRL: siirl/utils/reward_score/embodied.py",
  },
  stage: ["reward", "filter", "application"],
  describe: `Failed episodes of a robot are graded by how near they came, in a video model's latent space, to the centres of the
batch's own successes at the same task (clusters by density). Advantages compare the prompt's rollouts; prompts that are too
easy or too hard leave the loss. Token mean, no KL. The video model and the test for truncated episodes are left out;
without embeddings the batch's reward counts.`,
  formula:
    "R = 1, or max_fail_reward·σ(steepness(offset − u)), u the distance to the nearest centre scaled to [0, 1] over failures",
  params: {
    dbscan_eps: number(0.5, "radius of a neighbourhood, in deviations", { min: 0 }),
    dbscan_min_samples: integer(2, "points that make a neighbourhood dense", { min: 1 }),
    steepness: number(10, "slope of the reward over the distance"),
    offset: number(0.5, "distance at which half is paid"),
    max_fail_reward: number(0.6, "bound of a failure's reward"),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    acc_lo: number(0.1, "least success rate of a prompt that is trained on"),
    acc_hi: number(0.9, "largest"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  fields: { task: "trajectory", complete: "trajectory", embedding: "raw" },
  reward: (c, p) => {
    if (!c.hasRaw("embedding")) return c.reward;
    const group = c.trajectory.edge(c.group).index;
    const task = c.hasRaw("task") ? c.raw<ArrayLike<unknown>>("task") : group;
    return c.lift(c.trajectory, rewards(c.field("complete").values(), task, c.raw<Point[]>("embedding"), p));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  filter: (c, p) => {
    const success = c.optional("complete") ?? c.reward;
    return { keep: success.meanOver(c.group).inside(p.acc_lo, p.acc_hi).to(c.trajectory), leftOut: true };
  },
  kl: none,
  aggregate: tokenMean,
  trains: { refuse: "needs episodes seen by a video model: supply complete, task and embedding, a vector each" },
});
