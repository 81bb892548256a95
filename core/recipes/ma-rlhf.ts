import { choice, defineRecipe, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { lastTrained } from "../rl/credit.ts";
import { ppoClip } from "../rl/gate.ts";
import { ALL, type Level } from "../rl/level.ts";
import { tokenRatio } from "../rl/ratio.ts";
import { segmentsAt } from "../rl/turns.ts";
import { clippedValueLoss } from "../rl/value.ts";
import type { Vec } from "../rl/vec.ts";

interface Macro {
  termination: string;
  ngram: number;
  value_function: string;
  gamma: number;
  lam: number;
  kl_ctl: number;
  reward_clip: number;
}

/** Where segments start, by trajectory; the last token is always a segment of its own. */
function boundaries(c: Context, p: Macro): number[][] {
  const perplexity = p.termination === "ppl" ? c.field("ppl_ref").values() : undefined;
  const given = p.termination === "given" ? c.raw<number[][]>("boundaries_given") : undefined;
  const { offsets, lengths } = c.batch;
  return Array.from(lengths, (T, i) => {
    const inside = Array.from({ length: Math.max(0, T - 1) }, (_, t) => t).filter((t) => {
      if (t === 0) return true;
      if (perplexity) return perplexity[offsets[i] + t + 1] > perplexity[offsets[i] + t];
      return given ? given[i].includes(t) : t % p.ngram === 0;
    });
    return T > 0 ? [...inside, T - 1] : [];
  });
}

/** The mean over each segment that its weighting asks for. */
function segmentMean(c: Context, level: Level, x: Vec, weighting: string): Vec {
  const one = c.number(1, c.token);
  if (weighting === "equal") return x.meanOver(level);
  if (weighting === "unit") return x.meanOver(level, one.cumulate(level, "backward").eq(1));
  return x.meanOver(level, one.div(one.positionOver(level).add(1)));
}

/** GAE over segments; all constant for derivatives. */
function estimate(c: Context, p: Macro) {
  const starts = boundaries(c, p);
  const level = segmentsAt(c, "macro action", starts);
  const mean = (x: Vec): Vec => segmentMean(c, level, x, p.value_function);
  const outcome = c.reward.clamp(-p.reward_clip, p.reward_clip);
  const token = c.logpOld.sub(c.logpRef).mul(c.mask).mul(-p.kl_ctl).add(lastTrained(c).mul(outcome));
  const [reward, value] = [mean(token), mean(c.value.stop())];
  const delta = reward.add(value.shift(c.trajectory, -1).mul(p.gamma)).sub(value);
  const advantage = delta.recur(c.trajectory, "backward", p.gamma * p.lam);
  return { level, starts, reward, value, advantage, returns: advantage.add(value) };
}

export default defineRecipe({
  id: "ma-rlhf",
  paper: {
    title: "MA-RLHF: Reinforcement Learning from Human Feedback with Macro Actions",
    source: "github ernie-research/MA-RLHF applications/DeepSpeed-Chat/dschat/rlhf/ppo_trainer.py",
  },
  stage: ["advantage", "objective"],
  describe: `PPO in which tokens form macro actions: rewards, values, GAE and advantages are of segments, ratios of tokens.
Each trajectory is a micro-batch of its own, so losses add up; value_new is the critic's current value, value the rollout's.
An empty segment that the authors' code makes at some lengths is left out, as are random and parse-tree boundaries (give
those as boundaries_given).`,
  formula: "A_k = δ_k + gamma·lam·A_{k+1} over segments; loss = Σ_i [mean_t PPO(ρ_t, A_{k(t)}) + value loss]",
  params: {
    termination: choice("fixed", ["fixed", "ppl", "given"], "segments of ngram tokens, or where the perplexity rises"),
    ngram: integer(5, "tokens of a fixed segment", { min: 1 }),
    value_function: choice(
      "equal",
      ["equal", "unit", "position"],
      "weights in a segment: 1/len, its last token, 1/(1+j)",
    ),
    gamma: number(1, "discount of a segment", { min: 0, max: 1 }),
    lam: number(0.95, "decay of GAE", { min: 0, max: 1 }),
    kl_ctl: number(0.05, "coefficient of lp_old − lp_ref inside the reward", { min: 0 }),
    eps_clip: number(0.2, "clip range of the ratio", { min: 0, max: 1 }),
    eps_value: number(0.2, "clip range of the value", { min: 0 }),
    reward_clip: number(2.5, "the outcome is clipped to ± this", { min: 0 }),
    loss: choice(
      "per trajectory (micro-batch of one)",
      ["per trajectory (micro-batch of one)"],
      "losses of trajectories add up",
    ),
  },
  fields: { ppl_ref: "token", value_new: "token", boundaries_given: "raw" },
  differentiate: ["value_new"],
  trains: { supply: { value: "value", value_new: "value-now" } },
  advantage: (c, p) => {
    const { starts, reward, value, advantage, returns } = estimate(c, p);
    c.output("boundaries", starts);
    c.output("macro_value", value);
    c.output("macro_reward", reward);
    c.output("macro_advantage", advantage);
    c.output("macro_return", returns);
    c.carry("macro_target", returns.to(c.token));
    return advantage.to(c.token);
  },
  loss: (c, p) => {
    const policy = ppoClip(c, tokenRatio(c), c.advantage, { lo: p.eps_clip, hi: p.eps_clip });
    const each = policy.meanOver(c.trajectory, c.kept);
    c.output("loss_trajectory", each);
    if (!c.has("value_new")) return each.sumOver(ALL);
    const critic = clippedValueLoss(c.field("value_new"), c.value.stop(), c.field("macro_target"), p.eps_value);
    const values = critic.meanOver(c.trajectory, c.kept);
    c.output("value_loss_trajectory", values);
    return each.add(values).sumOver(ALL);
  },
});
