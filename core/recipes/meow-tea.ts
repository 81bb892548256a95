import { choice, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { whitenAll } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { gae } from "../rl/credit.ts";
import { sameShape } from "../rl/nested.ts";

/** Rewards at turn ends: the final score on the last, or what each turn earned over how much there was to earn. */
function placed(c: Context, density: string): Float64Array {
  const reward = new Float64Array(c.token.size);
  const [score, most] = [c.field("final_reward").values(), c.optional("max_total_rewards")?.values()];
  const earned = density === "dense" ? c.raw<number[][]>("interm_reward") : [];
  if (density === "dense") sameShape(c, 2, "turn_end", "interm_reward");
  c.raw<number[][]>("turn_end").forEach((ends, i) => {
    const at = (t: number): number => c.batch.offsets[i] + t;
    if (density === "single") {
      if (ends.length > 0) reward[at(ends[ends.length - 1])] = score[i];
      return;
    }
    const positive = earned[i].filter((r) => r > 0).length;
    const n = Math.max(1, score[i] > 0 || !most ? positive : most[i]);
    ends.forEach((t, k) => {
      reward[at(t)] += earned[i][k] / n;
    });
  });
  return reward;
}

export default defineRecipe({
  id: "meow-tea",
  paper: {
    title: "A Practitioner's Guide to Multi-turn Agentic Reinforcement Learning",
    arxiv: "2510.01132",
    source: "github pearls-lab/meow-tea-taro meow_tea_train/verl/trainer/ppo/core_algos.py",
  },
  stage: ["pipeline", "reward", "advantage"],
  describe: `A recipe for agents over many turns: rewards at turn ends, sparse or dense, GAE that steps over observation
tokens, whitening, PPO. Quirk: observation tokens carry the next action's advantage, whitened too; they are not trained. The
split between SFT and RL and the curricula over worlds are left out; the critic learns by PPO's value loss. Without an
environment, a rollout's segments are the turns.`,
  formula: "r at sep_k = interm_k/n (dense), or the score at sep_last; A = whiten(GAE over action tokens)",
  params: {
    gamma: number(1, "discount of an action token", { min: 0, max: 1 }),
    lam: number(1, "decay of GAE", { min: 0, max: 1 }),
    reward_density: choice("single", ["single", "dense"], "the final score alone, or what each turn earned"),
    kl_coef: number(0.01, "coefficient of lp_old − lp_ref inside the reward, where logp_ref is given", { min: 0 }),
  },
  fields: { turn_end: "raw", interm_reward: "raw", final_reward: "trajectory", max_total_rewards: "trajectory" },
  trains: {
    supply: { value: "value", turn_end: "segment-last", interm_reward: "segment-gain", final_reward: "outcome" },
  },
  reward: (c, p) => c.lift(c.token, placed(c, p.reward_density)),
  advantage: (c, p) => {
    const given = c.field("reward_token");
    const reward = c.has("logp_ref") ? given.sub(c.logpOld.sub(c.logpRef).mul(c.mask).mul(p.kl_coef)) : given;
    const { carried } = gae(c, reward, c.value, p.gamma, p.lam);
    const returns = carried.add(c.value);
    c.output("returns", returns);
    c.carry("return", returns);
    return whitenAll(c, carried);
  },
  kl: none,
  aggregate: tokenMean,
});
