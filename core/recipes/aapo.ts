import { choice, defineRecipe, flag, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { centred, zScore } from "../rl/baseline.ts";
import { score } from "../rl/gate.ts";

export default defineRecipe({
  id: "aapo",
  paper: { title: "AAPO: Enhance the Reasoning Capabilities of LLMs with Advantage Momentum", arxiv: "2505.14264" },
  stage: ["advantage", "objective"],
  describe: `To the group's advantage is added how much better the rollout did than one of the frozen reference model on the
same prompt, clamped: a group without variance still teaches. The loss is advantage-weighted cross-entropy, mean over
tokens: no ratio, no clip, no KL (as in the released trainer).`,
  formula: "A = (R − mean_g)/(std_g + std_eps) + clamp(R − R_ref, delta_lo, delta_hi); loss = −Σ mA·lp / Σ m",
  params: {
    delta_lo: number(-0.2, "least momentum"),
    delta_hi: number(0.28, "largest momentum"),
    std_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
    std: choice("sample", ["sample", "population"], "divisor of the variance: n − 1 or n"),
    scale_rewards: flag(true, "whether to divide by the group's standard deviation"),
  },
  fields: { reward_ref: "trajectory" },
  trains: { supply: { reward_ref: "reference-reward" } },
  advantage: (c, p) => {
    const ddof = p.std === "sample" ? 1 : 0;
    const group = p.scale_rewards ? zScore(c.reward, c.group, { eps: p.std_eps, ddof }) : centred(c.reward, c.group);
    const momentum = c.reward.sub(c.field("reward_ref")).clamp(p.delta_lo, p.delta_hi);
    c.output("advantage_group", group);
    c.output("momentum", momentum);
    return group.add(momentum);
  },
  ratio: none,
  gate: (c) => score(c, c.advantage),
  kl: none,
  aggregate: tokenMean,
});
