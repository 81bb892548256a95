import { choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { nested } from "../rl/nested.ts";
import type { Vec } from "../rl/vec.ts";

const TOKEN_MEAN = "token-mean over unmasked tokens";

/** One number a rollout, as a vector over rollouts. */
const overRollouts = (c: Context, name: string): Vec =>
  nested(c, name, Array.from(c.raw<ArrayLike<number | boolean>>(name), Number), { depth: 1 }).vec;

/** What a rollout has, for each of its segments. */
function perSegment(c: Context, x: Vec): Vec {
  const rollout = c.field("rollout");
  const outside = rollout.values().find((k) => !(k >= 0 && k < x.level.size && Math.floor(k) === k));
  if (outside !== undefined) {
    c.refuse(`supo: 'rollout' names ${outside} of ${x.level.size}`, "give reward, overlong one entry a rollout");
  }
  return x.gather(rollout);
}

export default defineRecipe({
  id: "supo",
  paper: {
    title: "Scaling LLM Multi-turn RL with End-to-end Summarization-based Context Management",
    arxiv: "2510.06727",
  },
  stage: ["rollout", "filter", "advantage"],
  describe: `A long rollout is cut by summaries that the policy writes itself; each segment is a training row (rollout says of
which), all with the advantage of the whole rollout, taken over rollouts and not over segments. Rollouts that ended without
an answer (overlong) count in the statistics and leave the loss, lest the policy learn not to summarise. Clip range and
aggregation were not read. The context management is left out.`,
  formula: "A_i = (R_i − μ)/(σ + std_eps) over the prompt's rollouts; loss = Σ_kept m·ℓ / Σ_kept m over segments",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    std_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    agg: choice(TOKEN_MEAN, [TOKEN_MEAN, "token-mean"], "from token losses to the loss"),
  },
  fields: { rollout: "trajectory", rollout_group: "raw", reward: "raw", overlong: "raw" },
  advantage: (c, p) => {
    const reward = overRollouts(c, "reward");
    const group = c.keyed("prompt", reward.level, c.raw<number[]>("rollout_group"));
    const advantage = zScore(reward, group, { eps: p.std_eps });
    c.output("rollout_advantage", advantage);
    return perSegment(c, advantage);
  },
  filter: (c) => ({ keep: perSegment(c, overRollouts(c, "overlong")).not(), leftOut: true }),
  kl: none,
  aggregate: tokenMean,
  trains: {
    refuse:
      "needs rollouts cut at summaries: supply rollout for each segment, and rollout_group, reward, overlong for each rollout",
  },
});
