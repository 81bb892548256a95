import { defineRecipe, integer, none, number } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { bestPartition, listSchedule, peakLoad } from "../rl/queue.ts";

export default defineRecipe({
  id: "infinite-sampling",
  paper: {
    title: "Infinite Sampling: Efficient and Stable Grouped RL Training for Large Language Models",
    arxiv: "2506.22950",
  },
  stage: ["rollout", "sampler"],
  describe: `A systems method: a large group is decoded on a few slots that are refilled as they free, the shortest
predicted job first, and the loss is summed over micro groups to that of the whole group. Reports the schedules of the jobs
gen_length (predictions pred_length). The loss has no clip. A reconstruction from the abstract; the exact split of jobs
into queues stands for the authors' approximate one.`,
  formula: "loss = −(1/N) Σ_i A_i·mean_t exp(lp − lp_old) = mean of the micro groups' losses",
  params: {
    g: integer(4, "slots, and trajectories of a micro group", { min: 1 }),
    eps: number(0.1, "precision of the authors' approximate split; the exact one does not read it", { min: 0 }),
    adv_eps: number(1e-6, "added to the group's deviation", { min: 0 }),
  },
  fields: { gen_length: "raw", pred_length: "raw" },
  trains: { supply: { gen_length: "lengths" } },
  sampler: (c, p) => {
    if (!c.hasRaw("gen_length")) return;
    const jobs = c.raw<number[]>("gen_length");
    const predicted = c.hasRaw("pred_length") ? c.raw<number[]>("pred_length") : jobs;
    const inOrder = jobs.map((_, j) => j);
    const shortest = [...inOrder].sort((a, b) => predicted[a] - predicted[b] || a - b);
    const rounds = Array.from({ length: Math.ceil(jobs.length / p.g) }, (_, k) => jobs.slice(k * p.g, (k + 1) * p.g));
    const fifo = listSchedule(jobs, inOrder, p.g);
    const sjf = listSchedule(jobs, shortest, p.g);
    c.output("steps_full", Math.max(0, ...jobs));
    c.output(
      "steps_naive_micro",
      rounds.reduce((sum, round) => sum + Math.max(...round), 0),
    );
    c.output("steps_continuous_fifo", fifo.steps);
    c.output("start_fifo", fifo.start);
    c.output("steps_sjf", sjf.steps);
    c.output("start_sjf", sjf.start);
    c.output(
      "peak_tokens_full",
      peakLoad(
        jobs,
        jobs.map(() => 0),
      ),
    );
    c.output("peak_tokens_fifo", peakLoad(jobs, fifo.start));
    c.output("peak_tokens_sjf", peakLoad(jobs, sjf.start));
    c.output("best_partition_load", bestPartition(predicted, p.g));
  },
  advantage: (c, p) => (c.has("reward") ? zScore(c.reward, c.group, { eps: p.adv_eps }) : c.number(0, c.trajectory)),
  gate: (c, ratio) => ratio.meanOver(c.trajectory, c.mask).mul(c.advantage).neg(),
  kl: none,
  aggregate: (c, loss, p) => {
    const each = loss.to(c.trajectory);
    const micro = c.keyed(
      "micro group",
      c.trajectory,
      Array.from({ length: each.level.size }, (_, i) => Math.floor(i / p.g)),
    );
    c.output("micro_losses", each.meanOver(micro));
    return trajectoryMean(c, each);
  },
});
