import { defineRecipe, integer, number } from "../recipe.ts";
import { ALL } from "../rl/level.ts";
import { nested } from "../rl/nested.ts";

export default defineRecipe({
  id: "retroformer",
  paper: {
    title: "Retroformer: Retrospective Large Language Agents with Policy Gradient Optimization",
    arxiv: "2308.02151",
  },
  stage: ["pipeline", "reward", "application"],
  describe: `A model that writes reflections between an agent's trials is rewarded by what they change: the next trial's return less
this one's. Good reflections are fine-tuned on (sft), a reward model is fitted to pairs, and PPO with that model follows
(ppo-gae, reward less reward_baseline on the last token, KL to the fine-tuned model). Here: the rewards of the reflections
and the loss of the reward model. The agent stays frozen; memory and retries are the caller's.`,
  formula: "r(z_k) = y_{k+1} − y_k; reward_model_loss = mean −ln σ(f(chosen) − f(rejected))",
  params: {
    reward_baseline: number(0, "subtracted from the reward model's score in PPO (not from reward_shaped)"),
    retries: integer(3, "trials after the first (the caller's)", { min: 0 }),
    lora_rank: integer(4, "rank of the adapter (the trainer's)", { min: 1 }),
  },
  fields: { episode_return: "raw", rm_chosen: "raw", rm_rejected: "raw", reward: "raw" },
  outputs: (c) => {
    const gains = c.raw<number[][]>("episode_return").map((y) => y.slice(1).map((next, k) => next - y[k]));
    const made: Record<string, unknown> = {
      reward_shaped: gains,
      reflection_good: gains.map((row) => row.map((gain) => gain > 0)),
    };
    if (!c.hasRaw("rm_chosen")) return made;
    const chosen = nested(c, "rm_chosen", c.raw<number[]>("rm_chosen"));
    const rejected = nested(c, "rm_rejected", c.raw<number[]>("rm_rejected"), { within: chosen.levels });
    const loss = chosen.vec.sub(rejected.vec).logSigmoid().neg().meanOver(ALL);
    return { ...made, reward_model_loss: loss.value() };
  },
  trains: { refuse: "needs several trials of a task with reflections between: supply episode_return" },
});
