import { defineRecipe, integer, number } from "../recipe.ts";
import { namedReward } from "../rl/reward.ts";

export default defineRecipe({
  id: "sema",
  paper: {
    title: "SEMA: Simple yet Effective Learning for Multi-Turn Jailbreak Attacks",
    source: "repo fmmarkmq/SEMA: sema/rewards/intent_drift_aware_reward.py",
  },
  stage: ["application", "reward", "pipeline"],
  describe: `A generator writes a whole plan of user turns at once; a judge scores the partner's last answer for being about the
seed (alignment, whole points) and for two qualities; the product makes drifting away useless. Format counts on its own, and
what the judge did not answer scores 0. Advantage and loss are GRPO's. Only the algorithm, for harmless topics: partner,
judge and the supervised first phase are left out.`,
  formula: "score = (a/scale)·(b/scale + c/scale)/2·[judge ok]; R = w_format·format + w_score·score",
  params: {
    scale: number(10, "most points that the judge gives", { min: 1e-9 }),
    w_format: number(0.5, "weight of the format"),
    w_score: number(0.5, "weight of the score"),
    max_turns: integer(7, "turns of a plan (the environment's)", { min: 1 }),
  },
  fields: { judge_ok: "trajectory" },
  reward: (c, p) => {
    if (!c.hasRaw("rewards")) return c.reward;
    const points = (name: string) => namedReward(c, name).div(p.scale);
    const quality = points("score_b").add(points("score_c")).mul(0.5);
    const ok = c.optional("judge_ok") ?? c.number(1, c.trajectory);
    const score = points("alignment").mul(quality).mul(ok);
    c.output("score", score);
    return namedReward(c, "format").mul(p.w_format).add(score.mul(p.w_score));
  },
  trains: {
    refuse: "needs a judge of the partner's last answer: supply rewards alignment, score_b, score_c and format",
  },
});
