import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { byAppearance } from "../rl/groups.ts";
import { namedReward } from "../rl/reward.ts";
import type { Vec } from "../rl/vec.ts";

const named = (c: Context, name: string): Vec | undefined =>
  c.has(`rewards.${name}`) ? namedReward(c, name) : undefined;

export default defineRecipe({
  id: "gcpo-geometryzero",
  paper: {
    title: "GeometryZero: Improving Geometry Solving for LLM with Group Contrastive Policy Optimization",
    arxiv: "2506.07160",
  },
  stage: ["reward", "application"],
  describe: `GRPO with a reward for an auxiliary construction whose sign the group decides: paid where the rollouts that
draw one are more often right than those that do not, fined where they are less. Reads the rewards accuracy (else the
rollout's own), format and aux (else 0). A reconstruction: weights, eps and the saturating length reward were not read.`,
  formula: "R = acc + w_format·fmt + w_aux·M_g·aux + w_length·min(T/length_max, 1), M_g = sign(a_W − a_O) beyond eps",
  params: {
    eps: number(0.1, "difference of accuracies that counts as one", { min: 0 }),
    w_format: number(0.5, "weight of the format reward"),
    w_aux: number(1, "weight of the construction's reward"),
    w_length: number(0.2, "weight of the length reward"),
    length_max: number(512, "tokens at which the length reward is full", { min: 1 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    adv_eps: number(1e-4, "added to the group's deviation", { min: 0 }),
  },
  reward: (c, p) => {
    const accuracy = named(c, "accuracy") ?? c.reward;
    const aux = named(c, "aux") ?? c.number(0, c.trajectory);
    const without = aux.not();
    const gain = accuracy.meanOver(c.group, aux).sub(accuracy.meanOver(c.group, without));
    const both = aux.maxOver(c.group).and(without.maxOver(c.group));
    const sign = gain.gt(p.eps).sub(gain.lt(-p.eps)).mul(both);
    c.output("group_mask", byAppearance(c, sign));
    const format = named(c, "format") ?? c.number(0, c.trajectory);
    const drawn = aux.mul(sign).mul(p.w_aux);
    const long = c.length.div(p.length_max).min(1).mul(p.w_length);
    return accuracy.add(format.mul(p.w_format)).add(drawn).add(long);
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof }),
});
