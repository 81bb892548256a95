import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";
import { ALL } from "../rl/level.ts";
import { sameShape } from "../rl/nested.ts";

export default defineRecipe({
  id: "score",
  paper: {
    title: "Training Language Models to Self-Correct via Reinforcement Learning",
    arxiv: "2409.12917",
  },
  stage: ["pipeline", "reward", "objective"],
  describe: `Two attempts at one question, the second seeing the first. Stage 1 improves the second while the first is held to
the base model; stage 2 trains both, with a bonus on the second for correcting and a fine for spoiling. REINFORCE with the
batch's mean as baseline, the KL inside the rewards, the first attempt's return including the second's reward. Not a group
method: attempts have fields of their own.`,
  formula:
    "stage 1: R1 = −beta2·KL_1, R2 = r2; stage 2: R1 = r1 − beta1·KL_1, R2 = r2 + alpha(r2 − r1) − beta1·KL_2; A1 = R1 + R2 − mean, A2 = R2 − mean",
  params: {
    stage: integer(2, "1: the second attempt alone; 2: both", { min: 1, max: 2 }),
    alpha: number(10, "bonus of a correction"),
    beta1: number(0.01, "coefficient of the KL in stage 2", { min: 0 }),
    beta2: number(0.1, "coefficient of the first attempt's KL in stage 1 (0.25 for code)", { min: 0 }),
    baseline: choice("batch mean", ["batch mean"], "what returns are compared with"),
    kl: choice("sum of log-ratio in the reward", ["sum of log-ratio in the reward"], "which KL, and where"),
    reduce: choice("sum over tokens, mean over sequences", ["sum over tokens, mean over sequences"], "aggregation"),
  },
  fields: {
    reward_attempt1: "trajectory",
    reward_attempt2: "trajectory",
    logp_attempt1: "ragged",
    logp_attempt2: "ragged",
    logp_ref_attempt1: "ragged",
    logp_ref_attempt2: "ragged",
  },
  differentiate: ["logp_attempt1", "logp_attempt2"],
  loss: (c, p) => {
    for (const k of [1, 2]) sameShape(c, 2, `logp_attempt${k}`, `logp_ref_attempt${k}`);
    const [r1, r2] = [c.field("reward_attempt1"), c.field("reward_attempt2")];
    const total = (name: string) => c.field(name).sumOver(c.trajectory);
    const [lp1, lp2] = [total("logp_attempt1"), total("logp_attempt2")];
    const kl1 = lp1.sub(total("logp_ref_attempt1")).stop();
    const kl2 = lp2.sub(total("logp_ref_attempt2")).stop();
    const first = p.stage === 1 ? kl1.mul(-p.beta2) : r1.sub(kl1.mul(p.beta1));
    const second = p.stage === 1 ? r2 : r2.add(r2.sub(r1).mul(p.alpha)).sub(kl2.mul(p.beta1));
    const [a1, a2] = [centred(first.add(second), ALL), centred(second, ALL)];
    c.output("reward_shaped_attempt1", first);
    c.output("reward_shaped_attempt2", second);
    c.output("advantage_attempt1", a1);
    c.output("advantage_attempt2", a2);
    return a1.mul(lp1).add(a2.mul(lp2)).meanOver(ALL).neg();
  },
  trains: {
    refuse:
      "needs two attempts at each question: supply reward, logp and logp_ref of both as reward_attempt1, … logp_ref_attempt2",
  },
});
