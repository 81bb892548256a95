import { defineRecipe, integer, optional } from "../recipe.ts";

export default defineRecipe({
  id: "staleness-bound",
  paper: {
    title: "AReaL: A Large-Scale Asynchronous Reinforcement Learning System for Language Reasoning",
    source: "huggingface/trl@f2cd577 trl/experimental/async_grpo; inclusionAI/AReaL@4aef98d areal",
  },
  stage: ["sampler"],
  describe: `An option for asynchronous rollouts: a trajectory is dropped where the policy has been updated more than
max_staleness times since it was begun (TRL); how many rollouts may be started now (AReaL) is the output rollouts,
where the batch has accepted, running and batch_size. The row has no case.`,
  formula:
    "keep = version_now − version ≤ max_staleness; start while accepted + running < (max_staleness + version_now + 1)·batch_size",
  params: {
    max_staleness: integer(4, "updates that a rollout may lag behind", { min: 0 }),
    concurrency: { ...optional(null, "most rollouts running at once; null: no limit", { min: 0 }), type: "integer" },
  },
  fields: { version: "trajectory", version_now: "batch", accepted: "batch", running: "batch", batch_size: "batch" },
  trains: {
    refuse:
      "needs rollouts that run beside the updates, where the trainer waits for its own: supply version and version_now",
  },
  option: true,
  sampler: (c, p) => {
    if (!c.has("accepted")) return;
    const [now, accepted, running, size] = ["version_now", "accepted", "running", "batch_size"].map((name) =>
      c.field(name).value(),
    );
    const free = (p.max_staleness + now + 1) * size - accepted - running;
    c.output("rollouts", Math.max(0, Math.min(free, (p.concurrency ?? Number.POSITIVE_INFINITY) - running)));
  },
  filter: (c, p) => ({ keep: c.field("version_now").sub(c.field("version")).le(p.max_staleness) }),
});
