import { anything, defineRecipe, none, number } from "../recipe.ts";
import { ppoClip } from "../rl/gate.ts";
import type { Level } from "../rl/level.ts";
import { levelLogRatio } from "../rl/ratio.ts";
import { equalRuns } from "../rl/turns.ts";
import type { Vec } from "../rl/vec.ts";

export default defineRecipe({
  id: "a2tgpo",
  paper: {
    title: "A^2TGPO: Agentic Turn-Group Policy Optimization with Adaptive Turn-level Clipping",
    arxiv: "2605.06200",
  },
  stage: ["reward", "advantage", "objective"],
  describe: `A dense signal a turn: how much it raised the log-probability of the true answer, on the turn's last token of
reward_token; the outcome is on the last token of all. Signals are compared with the same turn of the same prompt, summed
from the turn on over the root of how many follow, and widen or narrow the turn's clip range; one ratio a turn.
Quirks of the released code that stay: a signal of exactly 0 is no turn, neighbouring turns of equal advantage share a ratio.`,
  formula:
    "A = alpha·Σ_{j≥k} gamma^{j−k} z_j / sqrt(K−k) + z(outcome); range·(1 + clip_beta(2σ(z_k) − 1)); ρ = exp(min(mean_turn(lp − lp_old), 10))",
  params: {
    alpha: number(0.3, "weight of the turns' signal"),
    gamma: number(1, "discount of a turn", { min: 0, max: 1 }),
    clip_beta: number(0.3, "how far a signal changes the clip range", { min: 0, max: 1 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    eps: number(1e-6, "added to the deviation", { min: 0 }),
    var_eps: number(1e-8, "added to the variance", { min: 0 }),
    log_ratio_cap: number(10, "upper bound of the log-ratio"),
    aggregate: anything("token mean per sequence, then mean", "the aggregation in words; there is this one alone"),
  },
  trains: { refuse: "needs tool turns: put each turn's information gain on its last token of reward_token" },
  advantage: (c, p) => {
    const z = (x: Vec, level: Level, weight: Vec): Vec => {
      const scale = x.varOver(level, { weight }).add(p.var_eps).sqrt().add(p.eps);
      return x.centreOver(level, weight).mul(weight).div(scale);
    };
    const r = c.field("reward_token");
    const last = c.number(1, c.token).cumulate(c.trajectory, "backward").eq(1);
    const gain = r.ne(0).mul(last.not());
    const before = gain.cumulate(c.trajectory).sub(gain);
    const peers = c.keyed("turn of prompt", c.token, c.token.edge(c.group).index, before.values());
    const signal = z(r, peers, gain);
    // Backward recurrences: each token of a turn gets what stands on the turn's last token.
    const sum = signal.recur(c.trajectory, "backward", gain.where(p.gamma, 1));
    const own = signal.recur(c.trajectory, "backward", gain.not());
    const ahead = gain.sumOver(c.trajectory).sub(before).max(0);
    const outcome = last.mul(r).sumOver(c.trajectory);
    const scale = own.sigmoid().mul(2).sub(1).mul(p.clip_beta).mul(c.mask).add(1);
    c.carry("clip_scale", scale);
    c.output("clip_scale", scale);
    const [gains, signals] = [gain.values(), signal.values()];
    c.output(
      "info_gain_norm",
      Array.from(c.batch.lengths, (n, i) =>
        Array.from({ length: n }, (_, t) => c.batch.offsets[i] + t).flatMap((t) => (gains[t] ? [signals[t]] : [])),
      ),
    );
    const answer = z(outcome, c.group, c.number(1, c.trajectory));
    return sum.div(ahead.sqrt()).mul(p.alpha).add(answer).mul(c.mask);
  },
  ratio: (c, p) => {
    const tau = levelLogRatio(c, equalRuns(c, "equal advantage", c.advantage), "geometric").stop();
    return tau.add(c.logp.sub(c.logp.stop())).min(p.log_ratio_cap).exp();
  },
  gate: (c, ratio, p) => {
    const scale = c.field("clip_scale");
    return ppoClip(c, ratio, c.advantage, { lo: scale.mul(p.eps_lo), hi: scale.mul(p.eps_hi) });
  },
  kl: none,
});
