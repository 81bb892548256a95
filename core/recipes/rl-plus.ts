import { defineRecipe, flag, none, number, optional } from "../recipe.ts";
import { tokenMean, tokenSum } from "../rl/aggregate.ts";
import { centred, zScore } from "../rl/baseline.ts";
import { entropyBonus } from "../rl/entropy.ts";

export default defineRecipe({
  id: "rl-plus",
  paper: {
    title:
      "RL-PLUS: Countering Capability Boundary Collapse of LLMs in Reinforcement Learning with Hybrid-policy Optimization",
    arxiv: "2508.00222",
  },
  stage: ["advantage", "objective"],
  describe: `Groups hold external solutions beside rollouts (prefix_mask 1 on their tokens). Their ratio divides by a mixture
of old policy and data, and their advantage grows where the policy finds the token unlikely. No deviation; rollouts are
not clipped. Quirks of the authors' code: the sum over all tokens is divided by the padded length alone, not by N; a group
of one has baseline 0. The entropy bonus is paid only where the batch has entropies.`,
  formula: "l = −ρA on rollouts; l = −2π/(1.5π_old + 0.5)·A·(1 − sg π)^gamma outside; loss = Σ m·l/T_max − c_H·mean H",
  params: {
    gamma_explore: number(0.5, "exponent of the exploration factor", { min: 0 }),
    remove_clip: flag(true, "no clip on rollouts"),
    remove_token_mean: flag(true, "divide by T_max in place of the number of tokens"),
    clip: number(0.2, "clip range on rollouts, where there is one", { min: 0, max: 1 }),
    clip_upper_bound: number(1, "least upper end of that range"),
    off_min_clip: optional(null, "least external ratio"),
    off_max_clip: optional(null, "largest external ratio"),
    all_max_clip: optional(null, "external tokens of a larger probability are dropped", { min: 0, max: 1 }),
    T_max: optional(null, "padded response length in tokens (null: the longest of the batch)", { min: 1 }),
    use_std: flag(false, "divide the advantage by the group's deviation"),
    entropy_coef: number(0.001, "coefficient of the entropy bonus", { min: 0 }),
  },
  fields: { prefix_mask: "token" },
  advantage: (c, p) => {
    const score = p.use_std ? zScore(c.reward, c.group, { eps: 1e-6 }) : centred(c.reward, c.group);
    return c.reward.countOver(c.group).eq(1).where(c.reward, score).to(c.token);
  },
  gate: (c, ratio, p) => {
    const a = c.advantage;
    const clipped = ratio.surrogate(a, 1 - p.clip, Math.max(1 + p.clip, p.clip_upper_bound));
    const rollout = p.remove_clip ? ratio.mul(a) : clipped;
    const old = c.logpOld.exp();
    const behaviour = old.add(1).mul(0.5);
    const external = c.logp.exp().mul(2).div(old.add(behaviour)).clamp(p.off_min_clip, p.off_max_clip);
    const unlikely = c.logp.stop().exp().not().max(0).pow(p.gamma_explore);
    const taken = p.all_max_clip === null ? c.number(1) : c.logp.stop().exp().le(p.all_max_clip);
    return c.field("prefix_mask").where(external.mul(a).mul(unlikely).mul(taken), rollout).neg();
  },
  kl: none,
  entropy: (c, p) =>
    c.has("entropy") ? entropyBonus(c, p.entropy_coef).to(c.token).meanOver(c.all, c.mask) : c.number(0),
  aggregate: (c, loss, p) => {
    if (!p.remove_token_mean) return tokenMean(c, loss);
    return tokenSum(c, loss).div(p.T_max ?? c.length.maxOver(c.all).max(1));
  },
  trains: { supply: { prefix_mask: "demonstration-tokens" } },
});
