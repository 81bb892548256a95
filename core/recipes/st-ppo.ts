import { choice, defineRecipe, none, number } from "../recipe.ts";
import { seqMeanTokenMean } from "../rl/aggregate.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { levelRatio, tokenRatio } from "../rl/ratio.ts";
import { turnsOf } from "../rl/turns.ts";
import type { Vec } from "../rl/vec.ts";

const NORM = "L2 over dlogp";

/** 1 where the clipped branch is strictly the smaller, on trained tokens. */
function clippedTokens(c: Context, ratio: Vec, eps: number): Vec {
  const plain = ratio.mul(c.advantage);
  const clipped = ratio.clamp(Math.max(0, 1 - eps), 1 + eps).mul(c.advantage);
  return clipped.lt(plain).mul(c.mask).stop();
}

const ratioOf = (c: Context, variant: string): Vec =>
  variant === "s-ppo" ? tokenRatio(c) : levelRatio(c, turnsOf(c), "geometric").to(c.token);

export default defineRecipe({
  id: "st-ppo",
  paper: {
    title: "ST-PPO: Stabilized Off-Policy Proximal Policy Optimization for Multi-Turn Agents Training",
    arxiv: "2511.20718",
  },
  stage: ["objective"],
  describe: `PPO with one ratio a turn (turn-ppo), with a gradient divided by a norm of its clipped part where that is large
(s-ppo), or with both (st-ppo). Advantages are the batch's (token GAE of a critic), else GRPO's. A reconstruction: ratio,
C and its L2 norm were read, the floor 1 and bias_gain are ours, and the norm is taken over log-probabilities in place of
parameters. The loss reported is not scaled. No KL.`,
  formula:
    "dlogp ← dlogp / max(1, bias_gain·|C|), C = ∂/∂lp of (1/N) Σ_i (1/T_i) Σ_{t clipped} w·A; w = e^mean_turn(lp − lp_old)",
  params: {
    variant: choice("st-ppo", ["st-ppo", "s-ppo", "turn-ppo"], "turn ratios, scaled gradient, or both"),
    eps_clip: number(0.2, "clip range on both sides of 1", { min: 0, max: 1 }),
    bias_gain: number(25, "factor of the clipped part's norm", { min: 0 }),
    norm: choice(NORM, [NORM], "which norm, and of what"),
  },
  ratio: (c, p) => ratioOf(c, p.variant),
  gate: (c, ratio, p) => {
    c.output("ratio", ratio.mul(c.mask));
    c.outputFlags("clipped", clippedTokens(c, ratio, p.eps_clip));
    return ppoClip(c, ratio, c.advantage, { lo: p.eps_clip, hi: p.eps_clip });
  },
  kl: none,
  aggregate: (c, loss, p) => {
    const ratio = ratioOf(c, p.variant);
    const bias = seqMeanTokenMean(c, ratio.mul(c.advantage).mul(clippedTokens(c, ratio, p.eps_clip)));
    const [slope] = gradients(bias, [c.logp]);
    const norm = slope.square().sumOver(ALL).sqrt().stop();
    const scale = p.variant === "turn-ppo" ? c.number(1) : c.number(1).div(norm.mul(p.bias_gain).max(1)).stop();
    c.output("bias_norm", norm);
    c.output("scale", scale);
    const total = seqMeanTokenMean(c, loss);
    return total.sub(total.stop()).mul(scale).add(total.stop());
  },
  trains: { supply: { turn: "segment" } },
});
