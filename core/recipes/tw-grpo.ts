import { defineRecipe, flag, integer, none, number, optional } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { logSoftmax, tokenLogp } from "../rl/entropy.ts";
import { members } from "../rl/groups.ts";
import { klToReference } from "../rl/kl.ts";
import { sameShape } from "../rl/nested.ts";
import { onPolicyRatio, tokenRatio } from "../rl/ratio.ts";
import { namedReward } from "../rl/reward.ts";
import { exp, log } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

/** |P|/|S| where the answers P are some of the true ones S and nothing else, else 0. */
function partial(answers: readonly string[], truth: readonly string[]): number {
  const [given, right] = [new Set(answers), new Set(truth)];
  return given.size > 0 && [...given].every((a) => right.has(a)) ? given.size / right.size : 0;
}

/** How much the distributions of a group's rollouts differ at each place; a rollout that has ended counts as uniform. */
function disagreement(rows: readonly (readonly Float64Array[])[], places: number, size: number): number[] {
  const uniform = new Float64Array(size).fill(-log(size));
  return Array.from({ length: places }, (_, t) => {
    const here = rows.map((row) => row[t] ?? uniform);
    let sum = 0;
    for (let v = 0; v < size; v++) {
      const mean = here.reduce((a, row) => a + row[v], 0) / here.length;
      for (const row of here) {
        const x = Math.min(11, Math.max(-11, mean - row[v]));
        sum += exp(x) - x - 1;
      }
    }
    return sum / here.length;
  });
}

/** 1 … alpha by where a place lies between the group's least and most disagreement. */
function focus(c: Context, alpha: number, pad: number | null): Vec {
  const logits = c.field("logits").stop();
  const logp = logSoftmax(logits, c.token).values();
  const rows = logits.level.edge(c.token).offsets as Int32Array;
  const { offsets, lengths } = c.batch;
  const weight = new Float64Array(c.token.size).fill(1);
  const places = Math.max(pad ?? 0, ...lengths);
  const size = c.token.size > 0 ? rows[1] : 0;
  for (const group of members(c)) {
    const own = group.map((i) =>
      Array.from({ length: lengths[i] }, (_, t) => logp.subarray(rows[offsets[i] + t], rows[offsets[i] + t + 1])),
    );
    const d = disagreement(own, places, size);
    const [least, most] = [Math.min(...d), Math.max(...d)];
    for (const i of group) {
      for (let t = 0; t < lengths[i]; t++) {
        weight[offsets[i] + t] = 1 + ((alpha - 1) * (d[t] - least)) / (most - least + 1e-8);
      }
    }
  }
  return c.lift(c.token, weight);
}

export default defineRecipe({
  id: "tw-grpo",
  paper: {
    title: "Reinforcing Video Reasoning with Focused Thinking",
    source: "github longmalongma/TW-GRPO src/open_r1/trainer/grpo_trainer.py",
  },
  stage: ["reward", "objective", "application"],
  describe: `Places where the rollouts of a group disagree in their next-token distributions weigh up to alpha, agreed ones 1;
answers to questions of several choices earn their share. Weights are constants here (the code lets gradient through) and
not in the divisor. Turning questions into several choices is left out. Without logits weights are 1; without answers the
batch's reward counts.`,
  formula:
    "w_t = 1 + (alpha − 1)·minmax_t(mean_i Σ_v (e^x − x − 1)), x = mean_i lp − lp; loss = Σ m·w·(ℓ + beta·k3) / Σ m",
  params: {
    alpha: number(1.7, "weight of the place of most disagreement (1.4 in the code's default)", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    beta: number(0, "coefficient of the k3 penalty to the reference", { min: 0 }),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    on_policy: flag(false, "whether the old policy is the current one, so that ratios are 1 and there is no penalty"),
    pad_length: optional(null, "places that are looked at; null: the longest rollout of the batch", { min: 0 }),
    vocab: integer(0, "size of the vocabulary (told by the logits)", { min: 0 }),
  },
  fields: { answers: "raw", truth: "raw" },
  reward: (c) => {
    if (!c.hasRaw("answers")) return c.reward;
    sameShape(c, 1, "answers", "truth");
    const truth = c.raw<string[][]>("truth");
    const soft = c.raw<string[][]>("answers").map((answers, i) => partial(answers, truth[i]));
    const format = c.hasRaw("rewards") ? namedReward(c, "format") : c.number(0, c.trajectory);
    return c.lift(c.trajectory, soft).add(format);
  },
  advantage: (c, p) => {
    if (!c.has("logp") && c.batch.vocabulary) c.carry("logp", tokenLogp(c, c.field("logits")));
    return zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof });
  },
  ratio: (c, p) => (p.on_policy ? onPolicyRatio(c) : tokenRatio(c)),
  kl: (c, p) => (p.beta === 0 || p.on_policy ? none(c) : klToReference(c, "k3").mul(p.beta)),
  aggregate: (c, loss, p) => {
    if (!c.batch.vocabulary) return tokenMean(c, loss);
    const weight = focus(c, p.alpha, p.pad_length).mul(c.mask);
    c.output("weight", weight);
    return tokenMean(c, loss.mul(weight));
  },
  trains: { supply: { logits: "logits" } },
});
