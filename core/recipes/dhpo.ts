import { anything, choice, defineRecipe, none, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { levelRatio, tokenRatio, withTokenGradient } from "../rl/ratio.ts";

export default defineRecipe({
  id: "dhpo",
  paper: {
    title: "Orchestrating Tokens and Sequences: Dynamic Hybrid Policy Optimization for RLVR",
    arxiv: "2601.05607",
  },
  stage: ["objective"],
  describe: `Mixes GRPO's token ratio with GSPO's sequence ratio in one surrogate, each clipped in its own, differently
wide range before the mixing; the weight is a half, or grows with the token's entropy inside its trajectory. Weight 1 is
GRPO, 0 is GSPO-token. Reconstruction from the abstract and a note; the clip ranges are ours. No KL.`,
  formula:
    "mix = w·ρ + (1−w)·s, mixc = w·clip(ρ) + (1−w)·clip(s); loss = −mean_i mean_t min(mix·A, mixc·A); w = ½ or H/max_t H",
  params: {
    mix: choice("average", ["average", "entropy"], "weight of the token ratio"),
    eps_tok_lo: number(0.2, "token ratio: clip range below 1", { min: 0, max: 1 }),
    eps_tok_hi: number(0.28, "token ratio: above 1", { min: 0 }),
    eps_seq_lo: number(0.02, "sequence ratio: clip range below 1", { min: 0, max: 1 }),
    eps_seq_hi: number(0.03, "sequence ratio: above 1", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the group's variance: n or n − 1"),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    aggregate: anything("token mean per sequence, then mean", "the aggregation in words; there is this one alone"),
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.eps, ddof: p.std === "population" ? 0 : 1 }),
  gate: (c, _ratio, p) => {
    const rho = tokenRatio(c);
    const s = withTokenGradient(c, levelRatio(c, c.trajectory, "geometric"));
    const h = p.mix === "entropy" ? c.entropy.stop() : c.number(0, c.token);
    const top = h.mul(c.mask).maxOver(c.trajectory);
    const w = top.gt(0).where(h.div(top), 0.5);
    c.output("weight", w);
    const mixed = (x: typeof rho, y: typeof rho) => w.mul(x).add(w.not().mul(y));
    const clipped = mixed(rho.clamp(1 - p.eps_tok_lo, 1 + p.eps_tok_hi), s.clamp(1 - p.eps_seq_lo, 1 + p.eps_seq_hi));
    return mixed(rho, s).mul(c.advantage).min(clipped.mul(c.advantage)).neg();
  },
  kl: none,
});
