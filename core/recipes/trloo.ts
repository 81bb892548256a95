import { defineRecipe, none, number } from "../recipe.ts";
import { seqMeanTokenSumNorm } from "../rl/aggregate.ts";
import { keepSingles, leaveOneOut } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { listsOf, sameShape } from "../rl/nested.ts";
import { exp } from "../rl/scalar.ts";

interface Pay {
  w_correct: number;
  w_speed: number;
  w_coverage: number;
  speedup_cap: number;
  speedup_floor: number;
  penalty: number;
}

const flags = (c: Context, name: string): boolean[][] =>
  listsOf<(boolean | number)[]>(c, name).map((r) => r.map(Boolean));

/** The reward of each turn; 0 where there is none. */
function turnRewards(c: Context, p: Pay): number[][] {
  const [valid, correct, decoy] = [flags(c, "valid_turn"), flags(c, "correct"), flags(c, "decoy")];
  const [speed, coverage] = [listsOf<number[]>(c, "speedup"), listsOf<number[]>(c, "coverage")];
  return valid.map((row, i) =>
    row.map((there, k) => {
      if (!there) return 0;
      if (decoy[i][k]) return p.penalty;
      if (!correct[i][k]) return 0;
      const u = speed[i][k] < p.speedup_floor ? 0 : Math.min(speed[i][k], p.speedup_cap);
      return p.w_correct + p.w_speed * u + p.w_coverage * coverage[i][k];
    }),
  );
}

export default defineRecipe({
  id: "trloo",
  paper: {
    title: "Dr. Kernel: Reinforcement Learning Done Right for Triton Kernel Generations",
    source: "github hkust-nlp/KernelGYM drkernel/verl_patch/trainer/code/ppo/core_algos.py, mismatch_helper.py",
  },
  stage: ["reward", "filter", "advantage", "application"],
  describe: `Kernels written over several turns: a turn is paid for being right, for speed, and for the share of time in its own
kernels (a decoy gets penalty); its return is compared with the others of the same prompt and turn, itself left out.
mismatch_keep drops trajectories whose sampler disagrees with the trainer; prs_keep_probability is the chance at which a
right but lazy turn is kept: that draw, and running kernels, are the caller's. Loss over a constant length, no KL.`,
  formula: "G_k = r_k + gamma·G_{k+1}; A = (G − mean_{q,k} G)·n/(n − 1); loss = (1/N) Σ_i Σ_t m·ℓ / loss_scale",
  params: {
    gamma: number(1, "discount of a turn", { min: 0, max: 1 }),
    w_correct: number(0.5, "reward of a right kernel"),
    w_speed: number(0.5, "reward of its speed-up"),
    w_coverage: number(0.5, "reward of its own share of device time (0.25 in the default configuration)"),
    speedup_cap: number(3, "largest speed-up that pays", { min: 0 }),
    speedup_floor: number(0, "speed-up below which nothing is paid for it (1 in the default script)", { min: 0 }),
    penalty: number(0, "reward of a decoy"),
    cov_threshold: number(0.3, "share of own time below which a right turn is never kept"),
    cov_factor: number(0.1, "width of the ramp above it", { min: 0 }),
    rs_lo: number(0.999, "least mean ratio of trainer to sampler", { min: 0 }),
    rs_hi: number(1.001, "largest", { min: 0 }),
    veto: number(1e-4, "ratio of one token below which its trajectory is dropped", { min: 0 }),
    loss_scale: number(1000, "constant that sums over tokens are divided by", { min: 1e-9 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
  },
  fields: {
    traj_group: "trajectory",
    valid_turn: "ragged",
    correct: "raw",
    speedup: "raw",
    coverage: "raw",
    decoy: "raw",
    log_ratio_train_rollout: "raw",
  },
  advantage: (c, p) => {
    if (!c.has("valid_turn")) return c.reward;
    sameShape(c, 2, "valid_turn", "correct", "decoy", "speedup", "coverage");
    const valid = c.field("valid_turn");
    const step = c.has("turn") ? c.steps("valid_turn") : valid.level;
    const reward = c.lift(step, turnRewards(c, p).flat());
    const returns = reward.recur(c.trajectory, "backward", valid.mul(p.gamma));
    const prompt = c.hasRaw("traj_group")
      ? c.field("traj_group")
      : c.lift(c.trajectory, c.trajectory.edge(c.group).index);
    const place = valid.positionOver(c.trajectory);
    const peers = c.keyed("turn of prompt", step, prompt.to(step).values(), place.values());
    c.output("reward_shaped", reward);
    c.output("returns", returns);
    const advantage = keepSingles(returns, peers, leaveOneOut(returns, peers, valid), valid);
    return c.has("turn") ? advantage.to(c.token) : advantage;
  },
  filter: (c, p) => {
    if (!c.has("valid_turn")) return {};
    const [correct, decoy] = [flags(c, "correct"), flags(c, "decoy")];
    const kept = (share: number): number => {
      if (p.cov_factor === 0) return share >= p.cov_threshold ? 1 : 0;
      return Math.min(1, Math.max(0, (share - p.cov_threshold) / p.cov_factor));
    };
    const chance = listsOf<number[]>(c, "coverage").map((row, i) =>
      row.map((share, k) => (correct[i][k] && !decoy[i][k] ? kept(share) : 1)),
    );
    c.output("prs_keep_probability", chance);
    sameShape(c, 1, "valid_turn", "log_ratio_train_rollout");
    const logs = listsOf<number[]>(c, "log_ratio_train_rollout");
    const ratio = logs.map((row) => exp(row.reduce((a, b) => a + b, 0) / Math.max(1, row.length)));
    const keep = logs.map((row, i) => ratio[i] >= p.rs_lo && ratio[i] <= p.rs_hi && row.every((x) => exp(x) >= p.veto));
    c.output("geometric_ratio", ratio);
    c.output("mismatch_keep", keep);
    return { keep: c.flags(c.trajectory, keep) };
  },
  kl: none,
  aggregate: (c, loss, p) => seqMeanTokenSumNorm(c, loss, p.loss_scale),
  trains: {
    refuse:
      "needs kernels run turn by turn: supply turn, valid_turn, correct, speedup, coverage, decoy, log_ratio_train_rollout",
  },
});
