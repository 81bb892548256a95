import { choice, defineRecipe, flag, integer, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import { byAppearance, members } from "../rl/groups.ts";
import { log } from "../rl/scalar.ts";
import { countEntropy, counts } from "../rl/text.ts";

/** The final answers, or where the batch has none the completions themselves, as keys. */
function answers(c: Context): string[] {
  if (c.hasRaw("answer")) return c.raw<unknown[]>("answer").map((x) => JSON.stringify(x));
  const tokens = c.field("tokens").values();
  return Array.from(c.batch.lengths, (n, i) => tokens.slice(c.batch.offsets[i], c.batch.offsets[i] + n).join(" "));
}

export default defineRecipe({
  id: "copo",
  paper: { title: "COPO: Consistency-Aware Policy Optimization", arxiv: "2508.04138" },
  stage: ["advantage", "objective"],
  describe: `Groups whose answers all agree have no local advantage. A global one compares prompts by their mean reward, and
both are blended by the entropy of the group's answers: the more they agree, the more the global one counts. In the mode
"soft with zero" a rollout of reward 0 learns from the global one alone. Without the field answer, answers are equal
where completions are equal, token by token. No KL.`,
  formula:
    "w = σ(k(H_g − b))·[R ≠ 0], H_g in bits; ℓ = (1−w)·PPO(A_glob) + w·PPO(A_loc), A_glob = z of mean_g R over the prompts",
  params: {
    k: number(5, "steepness of the blend"),
    b: number(1, "entropy at which both count alike, bits"),
    reward_coef: flag(false, "multiply a prompt's mean reward by 1 − H·(1 − 1/G)/log2 G"),
    blend: choice("soft with zero", ["soft with zero", "soft"], "whether reward 0 learns from the global one alone"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    clip_c: number(3, "dual clip", { min: 1 }),
    adv_eps: number(1e-6, "added to both standard deviations", { min: 0 }),
    aggregation: choice("seq-mean-token-mean", AGGREGATIONS, "how token losses become one number"),
    rollouts: integer(6, "the trainer's: rollouts a prompt", { min: 1 }),
  },
  fields: { answer: "raw" },
  advantage: (c, p) => {
    const answer = answers(c);
    const groups = members(c);
    const bits = groups.map((rows) => countEntropy(counts(rows.map((i) => answer[i]))) / log(2));
    const entropy = c.lift(c.group, bits);
    const lambda = groups.map((rows) => (rows.length > 1 ? ((1 - 1 / rows.length) * log(2)) / log(rows.length) : 0));
    const mean = c.reward.meanOver(c.group);
    const global = p.reward_coef ? mean.mul(entropy.mul(c.lift(c.group, lambda)).not()) : mean;
    const across = zScore(global, c.all, { eps: p.adv_eps }).to(c.trajectory);
    const soft = entropy.sub(p.b).mul(p.k).sigmoid().to(c.trajectory);
    const blend = p.blend === "soft" ? soft : soft.mul(c.reward.ne(0));
    const local = zScore(c.reward, c.group, { eps: p.adv_eps });
    c.output("outcome_entropy_bits", byAppearance(c, entropy));
    c.output("reward_global", byAppearance(c, global));
    c.output("advantage_local", local);
    c.output("advantage_global", across);
    c.output("weight", blend);
    c.carry("advantage_global", across);
    c.carry("blend", blend);
    return local;
  },
  gate: (c, ratio, p) => {
    const range = { lo: p.eps_lo, hi: p.eps_hi };
    const w = c.field("blend");
    const local = dualClip(c, ratio, c.advantage, range, p.clip_c);
    return w.mul(local).add(w.not().mul(dualClip(c, ratio, c.field("advantage_global"), range, p.clip_c)));
  },
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
});
