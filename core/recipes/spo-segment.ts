import { choice, defineRecipe, flag, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { klEstimate } from "../rl/kl.ts";
import { ALL } from "../rl/level.ts";
import { logRatio } from "../rl/ratio.ts";
import { edgesOf, type TreeNode } from "../rl/tree.ts";
import type { Vec } from "../rl/vec.ts";

/** 1 on trained tokens that the rollout policy was unsure of. */
const unsure = (c: Context, threshold: number): Vec => c.mask.mul(c.logpOld.exp().lt(threshold));

/** The state before every k-th unsure token, as the place of the last token before it (−1: the prompt). */
function cutpoints(c: Context, threshold: number, every: number): number[][] {
  const p = c.logpOld.exp().values();
  const { offsets } = c.batch;
  return Array.from({ length: c.trajectory.size }, (_, i) => {
    const at = Array.from(p.subarray(offsets[i], offsets[i + 1])).flatMap((x, t) => (x < threshold ? [t] : []));
    return at.filter((_, n) => n % every === 0).map((t) => t - 1);
  });
}

/** The change of value over each segment, on its tokens; 0 where the policy was sure. */
function segmentAdvantage(c: Context, cuts: readonly number[][], threshold: number): Float64Array {
  const value = c.raw<number[][]>("cut_values");
  const reward = c.reward.values();
  const { offsets } = c.batch;
  const p = c.logpOld.exp().values();
  const advantage = new Float64Array(c.token.size);
  cuts.forEach((list, i) => {
    if (value[i]?.length !== list.length) {
      c.refuse(
        `spo-segment: ${value[i]?.length} cut_values for the ${list.length} cut points of ${i}`,
        "give one each",
      );
    }
    if (list.length === 0) return;
    const places = [...list, offsets[i + 1] - offsets[i] - 1];
    const known = [...value[i], reward[i]];
    for (let j = 1; j < places.length; j++) {
      for (let t = places[j - 1] + 1; t <= places[j]; t++) advantage[offsets[i] + t] = known[j] - known[j - 1];
    }
  });
  return advantage.map((a, t) => (p[t] > threshold ? 0 : a));
}

export default defineRecipe({
  id: "spo-segment",
  paper: {
    title: "Segment Policy Optimization: Effective Segment-Level Credit Assignment in RL for Large Language Models",
    arxiv: "2505.23564",
    source: "AIFrameResearch/SPO: src/treetune/trainers/ppo_trainer.py, tree_episode_generator.py",
  },
  stage: ["rollout", "advantage", "objective"],
  describe: `No critic: fresh rollouts from cut points before unsure tokens give values (cut_values), and a segment's advantage
is how far it changed the value; only unsure tokens are trained on, with whitened advantages and a small KL term. The tree
variant gives the advantages of a sampled tree's edges. Sampling trees and the buffer of edges are left out; without
cut_values every advantage is 0.`,
  formula:
    "A = whiten(V(c_j) − V(c_{j−1})) on m' = m·[e^lp_old < θ]; loss = Σ m'·max(−Aρ, −A·clip ρ)/Σ m' + kl_coef·mean_i Σ_t m'·k3",
  params: {
    prob_threshold: number(0.9, "θ: probability from which a token is sure", { min: 0, max: 1 }),
    cutpoint_interval: integer(5, "unsure tokens from one cut point to the next", { min: 1 }),
    clip: number(0.2, "clip range on both sides of 1", { min: 0, max: 1 }),
    kl_coef: number(1e-4, "coefficient of the penalty to the reference", { min: 0 }),
    ratio_threshold: number(10, "mean ratio from which the batch is skipped", { min: 0 }),
    mc_rollouts: integer(9, "fresh rollouts at a cut point (the sampler's)", { min: 1 }),
    adv_method: choice("rloo", ["rloo", "grpo"], "tree: plain difference, or divided by the siblings' deviation"),
    drop_uninformative: flag(true, "tree: whether edges are dropped that change neither value nor best of 4"),
  },
  fields: { cut_values: "raw", tree: "raw" },
  sampler: (c, p) => {
    if (c.has("logp_old")) c.output("cutpoints", cutpoints(c, p.prob_threshold, p.cutpoint_interval));
    if (!c.hasRaw("tree")) return;
    c.output(
      "edges",
      edgesOf(c.raw<TreeNode>("tree"), { normalise: p.adv_method === "grpo", drop: p.drop_uninformative }),
    );
  },
  advantage: (c, p) => {
    if (!c.hasRaw("cut_values")) return c.number(0, c.token.size > 0 ? c.token : c.trajectory);
    const cuts = cutpoints(c, p.prob_threshold, p.cutpoint_interval);
    const raw = c.lift(c.token, segmentAdvantage(c, cuts, p.prob_threshold));
    c.output("advantage_raw", raw);
    const some = unsure(c, p.prob_threshold);
    const weight = some.maxOver(ALL).where(some, c.mask);
    return raw.centreOver(ALL, weight).div(raw.varOver(ALL, { ddof: 1, weight }).add(1e-8).sqrt());
  },
  loss: (c, p) => {
    const m = unsure(c, p.prob_threshold);
    const count = m.sumOver(ALL).max(1);
    const ratio = logRatio(c).mul(m).clamp(-10, 10).exp();
    const live = ratio.mul(m).sumOver(ALL).div(count).le(p.ratio_threshold).stop();
    const policy = ppoClip(c, ratio, c.advantage, { lo: p.clip, hi: p.clip }).mul(m).sumOver(ALL).div(count);
    if (p.kl_coef === 0) return policy.mul(live);
    const k = klEstimate(c.logp.sub(c.logpRef), "k3", { inner: 10 }).mul(m).clamp(0, 1e4);
    const penalty = k.sumOver(ALL).div(Math.max(1, c.trajectory.size)).mul(p.kl_coef);
    return policy.add(penalty).mul(live);
  },
  trains: { supply: { cut_values: "cut-values" } },
});
