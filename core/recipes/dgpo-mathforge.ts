import { anything, choice, defineRecipe, integer, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { byAppearance } from "../rl/groups.ts";
import { weightedSum } from "../rl/reward.ts";
import { softmaxOver } from "../rl/softmax.ts";

/** The rewards' weights in the batch's order and the accuracy's place; where none is named: 1 each, the first. */
function named(c: Context, weights: Record<string, number>): { list: number[]; accuracy: number } {
  const names = c.rewards.map((reward) => reward.name);
  const known = Object.keys(weights).filter((name) => names.includes(name));
  if (known.length === 0) return { list: names.map(() => 1), accuracy: 0 };
  return { list: names.map((name) => weights[name] ?? 0), accuracy: names.indexOf(known[0]) };
}

export default defineRecipe({
  id: "dgpo-mathforge",
  paper: {
    title:
      "Harder Is Better: Boosting Mathematical Reasoning via Difficulty-Aware GRPO and Multi-Aspect Question Reformulation",
    source: "AMAP-ML/MathForge trl/trainer/grpo_trainer.py",
  },
  stage: ["advantage", "objective", "pipeline"],
  describe: `The mean absolute deviation divides in place of the standard one, so that every live question's advantages sum to
the same, and questions are weighted by a softmax that favours the hard ones (but not those with no right answer, which
count as easiest). Dead groups have advantage 0 and weight 1; a length factor makes up for their tokens. No KL.
The rewriting of questions (MQR) is data, and left out, as the token balance between processes.`,
  formula:
    "A = G·d/(Σ_g|d| + adv_eps)·(tokens/tokens of live groups)·λ_q, d = R − mean_g; λ_q = n·softmax_q(−p_q/temperature), p_q = 0 counts as 1",
  params: {
    weights: anything<Record<string, number>>({ accuracy: 1 }, "weight by reward name, the accuracy first"),
    dqw_temperature: number(2, "temperature of the question weight", { min: 1e-9 }),
    adv_eps: number(1e-4, "added to the sum of absolute deviations", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    aggregation: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
    rollouts: integer(8, "the trainer's: rollouts a prompt", { min: 1 }),
  },
  reward: (c, p) => {
    const { list, accuracy } = named(c, p.weights);
    c.carry("accuracy", c.rewards[accuracy].value);
    const { sum, present } = weightedSum(c, list);
    return { reward: sum, present };
  },
  advantage: (c, p) => {
    const d = centred(c.reward, c.group, c.present("reward"));
    const spread = d.abs().sumOver(c.group);
    const live = spread.gt(0);
    const size = d.countOver(c.group);
    const accuracy = c.field("accuracy").meanOver(c.group);
    const ease = accuracy.eq(0).where(1, accuracy);
    const share = softmaxOver(ease.div(-p.dqw_temperature), c.all, live);
    const question = live.where(share.mul(live.sumOver(c.all)), 1);
    const tokens = c.mask.sumOver(c.group);
    const inLive = tokens.mul(live).sumOver(c.all);
    const ratio = inLive.gt(0).where(tokens.sumOver(c.all).div(inLive), 1);
    c.output("question_weight", byAppearance(c, question));
    c.output("length_ratio", ratio);
    return size.mul(d).div(spread.add(p.adv_eps)).mul(ratio).mul(question).mul(c.mask);
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
