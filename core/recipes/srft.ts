import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { ALL } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

/** Σ w·x / Σ w over the batch, the divisor at least 1. */
const per = (x: Vec, numerator: Vec, tokens: Vec): Vec => x.mul(numerator).sumOver(ALL).div(tokens.sumOver(ALL).max(1));

/** 1 on demonstrations; without the field all rollouts are the policy's own. */
const demonstrations = (c: Context): Vec => c.optional("demo")?.ne(0) ?? c.number(0, c.trajectory);

export default defineRecipe({
  id: "srft",
  paper: {
    title: "SRFT: A Single-Stage Method with Supervised and Reinforcement Fine-Tuning for Reasoning",
    arxiv: "2506.19767",
  },
  stage: ["objective", "advantage"],
  describe: `One loss from the first step on: likelihood of demonstrations (demo), weighted down where the policy is unsure of
them; the group-relative objective on the same demonstrations with ratio e^lp and no clip; and on own rollouts, rewarded
+1 and −1, likelihood of the right ones, weighted up with entropy, less that of the wrong ones. Entropy weighs without
gradient. No old policy, no KL. The sign in w_rl follows the paper's text, not the transcript.`,
  formula:
    "loss = w_sft·E_demo[−lp] − E_demo[e^lp·A] + E_own[w_rl·(−lp)·[R>0] + lp·[R<0]], w_sft = a·e^−H_demo, w_rl = b·e^H_own",
  params: {
    w_sft_coef: number(0.5, "a: weight of the likelihood of demonstrations at entropy 0", { min: 0 }),
    w_rl_coef: number(0.1, "b: weight of the likelihood of own right rollouts at entropy 0", { min: 0 }),
    std_eps: number(1e-6, "added to the deviation over own rollouts and demonstrations", { min: 0 }),
  },
  fields: { demo: "trajectory" },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.std_eps }),
  loss: (c, p) => {
    const demo = demonstrations(c);
    const [shown, own] = [c.mask.mul(demo), c.mask.mul(demo.not())];
    const wSft = c.entropy.stop().meanOver(ALL, shown).neg().exp().mul(p.w_sft_coef);
    const wRl = c.entropy.stop().meanOver(ALL, own).exp().mul(p.w_rl_coef);
    const [right, wrong] = [own.mul(c.reward.gt(0)), own.mul(c.reward.lt(0))];
    const sft = per(c.logp.neg(), shown, shown).mul(wSft);
    const rlDemo = per(c.logp.exp().mul(c.advantage).neg(), shown, shown);
    const rlSelf = per(c.logp.neg(), right, own)
      .mul(wRl)
      .add(per(c.logp, wrong, own));
    c.output("w_sft", wSft);
    c.output("w_rl", wRl);
    c.output("loss_sft", sft);
    c.output("loss_rl_demo", rlDemo);
    c.output("loss_rl_self", rlSelf);
    return sft.add(rlDemo).add(rlSelf);
  },
  trains: { supply: { demo: "demonstration", reward: "signed-reward" } },
});
