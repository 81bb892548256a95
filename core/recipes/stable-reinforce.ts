import { choice, defineRecipe, none, number } from "../recipe.ts";
import { seqMeanTokenMean } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { returns, tokenReward } from "../rl/credit.ts";
import { ppoClip } from "../rl/gate.ts";
import { ALL } from "../rl/level.ts";
import { logRatio } from "../rl/ratio.ts";
import { namedReward } from "../rl/reward.ts";
import { log } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

const RAW = "mean(raw) +- 3 applied to the normalised value";
const MEANS = "token mean per sequence, then mean";

const rawReturns = (c: Context, beta: number): Vec => c.optional("adv_raw") ?? returns(c, tokenReward(c, beta));

export default defineRecipe({
  id: "stable-reinforce",
  paper: {
    title: "R1-Reward: Training Multimodal Reward Model Through Stable Reinforcement Learning",
    source: "repo yfzhang114/r1_reward: openrlhf/models/loss.py, openrlhf/trainer/ppo_utils/replay_buffer.py",
  },
  stage: ["objective", "filter", "reward"],
  describe: `REINFORCE++ made robust: log-ratios are clamped before the exponential, and normalised advantages out of bound are
set to 0. Quirk of the released code: the bound lies around the raw mean and not around 0 (bound: raw; the paper's is sigma).
With the named rewards format, accuracy and consistency (a judge's ±1) a right verdict is paid more if its analysis supports
it. Judge and reward model are left out. No group, no KL in the loss.`,
  formula:
    "A = (a − μ)/√v + 1e-8, 0 out of bound; ρ = e^clamp(lp − lp_old, ln ratio_min, ln ratio_max); R = w_f·f + acc(1 + w_c·cons)",
  params: {
    clip_eps: number(0.2, "clip range on both sides of 1", { min: 0, max: 1 }),
    ratio_min: number(1e-3, "least ratio", { min: 1e-300 }),
    ratio_max: number(1e3, "largest ratio", { min: 1e-300 }),
    sigma: number(3, "half width of the bound of advantages", { min: 0 }),
    bound: choice("raw", ["raw", "sigma", RAW], "bound around the raw mean (the code) or around 0 (the paper)"),
    hard_cap: number(10, "size above which an advantage is set to 0 in any case", { min: 0 }),
    w_format: number(0.5, "weight of the format"),
    w_consistency: number(0.5, "what consistency adds to or takes from a right verdict"),
    init_kl: number(1e-3, "coefficient of the KL to the reference inside the return", { min: 0 }),
    aggregate: choice(MEANS, [MEANS], "from token losses to the loss"),
  },
  fields: { adv_raw: "token" },
  reward: (c, p) => {
    if (!c.hasRaw("rewards")) return c.optional("reward") ?? c.number(0, c.trajectory);
    const consistent = namedReward(c, "consistency").mul(p.w_consistency).add(1);
    return namedReward(c, "format").mul(p.w_format).add(namedReward(c, "accuracy").mul(consistent));
  },
  advantage: (c, p) => {
    if (c.token.size === 0) return c.number(0, c.trajectory);
    const raw = rawReturns(c, p.init_kl);
    const mean = raw.meanOver(ALL, c.mask);
    const variance = raw.varOver(ALL, { weight: c.mask }).max(1e-8);
    const advantage = raw.centreOver(ALL, c.mask).div(variance.sqrt()).add(1e-8);
    const centre = p.bound === "sigma" ? c.number(0) : mean;
    const within = advantage.ge(centre.sub(p.sigma)).and(advantage.le(centre.add(p.sigma)));
    return advantage.mul(within).mul(advantage.abs().le(p.hard_cap)).mul(c.mask);
  },
  ratio: (c, p) => logRatio(c).clamp(log(p.ratio_min), log(p.ratio_max)).exp(),
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.clip_eps, hi: p.clip_eps }),
  kl: none,
  aggregate: (c, loss) => seqMeanTokenMean(c, loss, { nonEmpty: true }),
});
