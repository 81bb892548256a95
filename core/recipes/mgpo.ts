import { anything, choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { entropyBonus } from "../rl/entropy.ts";
import { KL_KINDS, klPenalty, klToReference } from "../rl/kl.ts";

type Size = readonly [width: number, height: number];
type Box = readonly [x1: number, y1: number, x2: number, y2: number];

const aspect = (w: number, h: number): number => (w > 0 && h > 0 ? Math.max(w, h) / Math.min(w, h) : Number.MAX_VALUE);

/** A box inside the model's picture, both sides long enough, not too thin. */
function usable([x1, y1, x2, y2]: Box, [w, h]: Size, minSide: number, maxAspect: number): boolean {
  const inside = x1 >= 0 && y1 >= 0 && x2 <= w && y2 <= h;
  const sides = [x2 - x1, y2 - y1];
  return inside && sides.every((side) => side > minSide) && aspect(sides[0], sides[1]) < maxAspect;
}

/** The box in pixels of the original picture, or all of it where the crop would be a strip. */
function mapped([x1, y1, x2, y2]: Box, [w, h]: Size, [W, H]: Size): number[] {
  const across = [x1, x2].map((x) => Math.trunc((x / w) * W));
  const down = [y1, y2].map((y) => Math.trunc((y / h) * H));
  return aspect(across[1] - across[0], down[1] - down[0]) >= 150
    ? [0, 0, W, H]
    : [across[0], down[0], across[1], down[1]];
}

export default defineRecipe({
  id: "mgpo",
  paper: {
    title: "High-Resolution Visual Reasoning via Multi-Turn Grounding-Based Reinforcement Learning",
    arxiv: "2507.05920",
    source: "training code xinyu1205/verl branch mgpo",
  },
  stage: ["application", "rollout", "objective"],
  describe: `Two rounds: the model names a box, is shown that crop of the full picture (the whole one where the box is of no
use), and answers; only the answer is rewarded, and its own tokens of both rounds are trained. GRPO with token mean and k3
over the same tokens, and the release's entropy bonus, paid only where the batch has entropies. The pictures are left out.`,
  formula: "A = (R − mean_g)/(std_g + adv_eps); loss = Σ m(PPO + beta·k3)/Σ m − entropy_coeff·mean H",
  params: {
    adv_eps: number(1e-6, "added to the group's deviation", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variance: n − 1 or n"),
    beta: number(0.01, "coefficient of the penalty to the reference", { min: 0 }),
    kl: choice("k3", KL_KINDS, "estimator of the KL"),
    entropy_coeff: number(0.001, "coefficient of the entropy bonus, where the batch has entropies", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one"),
    original: anything<Size>([1, 1], "[W, H] of the original picture, pixels"),
    model_input: anything<Size>([1, 1], "[w, h] of what the model saw, pixels"),
    min_side: number(28, "a box's sides are longer than this, pixels", { min: 0 }),
    max_aspect: number(100, "and its longer side less than this times the shorter", { min: 1 }),
  },
  fields: { box: "raw" },
  trains: { refuse: "needs a vision-language policy and pictures to crop: replay it on batches that hold its tokens" },
  sampler: (c, p) => {
    if (!c.hasRaw("box")) return;
    const boxes = c.raw<(Box | null)[]>("box");
    const valid = boxes.map((box) => box !== null && usable(box, p.model_input, p.min_side, p.max_aspect));
    c.output("valid", valid);
    c.output(
      "crop",
      boxes.map((box, k) => (box && valid[k] ? mapped(box, p.model_input, p.original) : [0, 0, ...p.original])),
    );
  },
  advantage: (c, p) => {
    const right = c.optional("reward") ?? c.optional("correct");
    const ddof = p.std === "sample" ? 1 : 0;
    return right ? zScore(right, c.group, { eps: p.adv_eps, ddof }) : c.number(0, c.trajectory);
  },
  kl: (c, p) => (p.beta === 0 ? c.number(0) : klPenalty(c, klToReference(c, p.kl), p.beta)),
  entropy: (c, p) =>
    c.has("entropy") ? entropyBonus(c, p.entropy_coeff).to(c.token).meanOver(c.all, c.mask) : c.number(0),
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
});
