import { choice, defineRecipe, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { leaveOneOut } from "../rl/baseline.ts";
import { score } from "../rl/gate.ts";
import { byAppearance } from "../rl/groups.ts";

export default defineRecipe({
  id: "alpha-dpg",
  paper: {
    title: "Whatever Remains Must Be True: Filtering Drives Reasoning in LLMs, Shaping Diversity",
    arxiv: "2512.05962",
  },
  stage: ["objective", "advantage"],
  describe: `The target is stated: the reference policy with wrong answers filtered out, right ones in their proportions. An
alpha-divergence to it gives each rollout a pseudo-reward, leave-one-out is the baseline (0 for a single rollout), and
the loss is REINFORCE: no clip, no KL, no entropy. Z is estimated from the batch at hand, as in the released run; its
moving average over visits and the division by 1024 are left out. Wrong answers have −1 at every alpha.`,
  formula:
    "p = pi_ref·v/Z, Z = min(1, mean_g v·pi_ref/pi); R̂ = min((p/pi)^(1−alpha) − 1, clip); loss = −mean_i A_i Σ_t m·lp",
  params: {
    alpha: number(0.5, "0: mass-covering (KL-DPG); 1: mode-seeking, as RLVR", { min: 0, max: 1 }),
    clip: number(10, "upper bound of the pseudo-reward", { min: 0 }),
    z_default: number(1e-4, "Z of a prompt without a right answer", { min: 1e-300, max: 1 }),
    agg: choice("seq-mean-token-sum", AGGREGATIONS, "how token losses become one number"),
  },
  advantage: (c, p) => {
    const right = c.field("correct");
    const log = (lp: typeof c.logpOld) => c.mask.mul(lp).sumOver(c.trajectory);
    const gap = log(c.logpRef).sub(log(c.logpOld));
    const mean = gap.exp().mul(right).meanOver(c.group).min(1);
    const z = mean.eq(0).where(p.z_default, mean);
    const logT = z.log().sub(gap);
    const divergence =
      p.alpha === 1
        ? logT.not()
        : logT
            .mul(p.alpha - 1)
            .exp()
            .sub(1);
    const pseudo = right.where(divergence, -1).min(p.clip);
    c.output("z", byAppearance(c, z));
    c.output("pseudo_reward", pseudo);
    return pseudo.countOver(c.group).eq(1).where(pseudo, leaveOneOut(pseudo, c.group));
  },
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
});
