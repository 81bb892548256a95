import { defineRecipe, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { exp } from "../rl/scalar.ts";

/** A task instance in the buffer; `index` is its place in the batch, −1 for one of an earlier batch. */
interface Instance {
  name: string;
  score: number;
  index: number;
}

/** Population variance of a group's returns. */
function learnability(returns: readonly number[]): number {
  const mean = returns.reduce((a, b) => a + b, 0) / Math.max(1, returns.length);
  return returns.reduce((sum, r) => sum + (r - mean) * (r - mean), 0) / Math.max(1, returns.length);
}

/** The buffer, oldest first, after all insertions: a full one gives up its lowest score (the oldest of equals). */
function filled(c: Context, capacity: number): Instance[] {
  const buffer = (c.state["buffer"] as Omit<Instance, "index">[]).map((entry) => ({ ...entry, index: -1 }));
  const returns = c.raw<number[][]>("group_reward");
  c.raw<string[]>("start_state").forEach((name, index) => {
    const entry = { name, index, score: learnability(returns[index]) };
    const known = buffer.findIndex((other) => other.name === name);
    if (known >= 0) buffer[known] = entry;
    else if (buffer.length < capacity) buffer.push(entry);
    else {
      const lowest = buffer.reduce((low, other, k) => (other.score < buffer[low].score ? k : low), 0);
      if (entry.score >= buffer[lowest].score) buffer.splice(lowest, 1, ...buffer.splice(lowest + 1), entry);
    }
  });
  return buffer;
}

export default defineRecipe({
  id: "exit",
  paper: { title: "Bootstrapping Task Spaces for Self-Improvement", arxiv: "2509.04575" },
  stage: ["sampler", "rollout"],
  describe: `An autocurriculum: a task with an attempt so far is a task of its own, kept in a buffer by how much the returns
of its group vary and drawn again by a softmax of that. This is the buffer and its sampling weights; the prompts that ask to
improve or to diverge, and GRPO on the gain, belong to rollouts. kappa and capacity were not read. State: the buffer.`,
  formula: "S_u = var(returns of u's group); P(u) = exp(kappa·S_u) / Σ over the buffer",
  params: {
    capacity: integer(512, "instances that the buffer holds", { min: 1 }),
    kappa: number(1, "inverse temperature of the draw"),
  },
  fields: { start_state: "raw", group_reward: "raw" },
  trains: { refuse: "needs tasks made of partial histories: supply start_state and group_reward, one entry a task" },
  state: {
    init: () => ({ buffer: [] }),
    update: (c, p) => ({ buffer: filled(c, p.capacity).map(({ name, score }) => ({ name, score })) }),
  },
  outputs: (c, p) => {
    const buffer = filled(c, p.capacity).sort((a, b) => b.score - a.score);
    const weight = buffer.map(({ score }) => exp(p.kappa * (score - buffer[0].score)));
    const total = weight.reduce((a, b) => a + b, 0);
    return {
      learnability: c.raw<number[][]>("group_reward").map(learnability),
      selected: buffer.map(({ index, name }) => (index >= 0 ? index : name)),
      sampling_weight: weight.map((w) => w / total),
    };
  },
});
