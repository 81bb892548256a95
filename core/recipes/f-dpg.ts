import { choice, defineRecipe, flag, integer, number, optional } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { ALL } from "../rl/level.ts";
import { sumLogp } from "../rl/preference.ts";
import type { Vec } from "../rl/vec.ts";

/** f′(e^u) with u = ln π − ln p. */
const SLOPES: Record<string, (u: Vec) => Vec> = {
  kl: (u) => u.neg().exp().neg(),
  reverse_kl: (u) => u.add(1),
  js: (u) => u.neg().softplus().neg().add(Math.LN2),
  tv: (u) => u.sign().mul(0.5),
  chi2: (u) => u.mul(-2).exp().neg().add(1),
  reverse_chi2: (u) => u.expm1().mul(2),
};

interface Given {
  divergence: string;
  baseline: boolean;
  beta: number;
  max_z: number | null;
}

const policy = (c: Context): Vec => c.optional("seq_logp") ?? sumLogp(c);
const proposal = (c: Context): Vec => c.optional("seq_logp_proposal") ?? sumLogp(c, c.logpOld);

/** Pseudo-reward −f′(π/p) of each sample, Z the running mean of P/q, all constant for derivatives. */
function pseudoReward(c: Context, p: Given): { reward: Vec; z: Vec; Z: number; weight: Vec; count: number } {
  const target = c.optional("seq_logp_target_unnorm") ?? sumLogp(c, c.logpRef).add(c.reward.div(p.beta));
  const z = target.sub(proposal(c)).exp().meanOver(ALL);
  const before = (c.state["z_count"] as number) ?? 0;
  const count = before + c.trajectory.size;
  const mean = (((c.state["z_mean"] as number) ?? 0) * before + z.value() * c.trajectory.size) / Math.max(1, count);
  const Z = p.max_z === null ? mean : Math.min(mean, p.max_z);
  const logp = policy(c).stop();
  const u = logp.sub(target.sub(c.lift(ALL, [Z]).log()));
  return { reward: SLOPES[p.divergence](u).neg(), z, Z: mean, weight: logp.sub(proposal(c)).exp(), count };
}

export default defineRecipe({
  id: "f-dpg",
  paper: { title: "Aligning Language Models with Preferences through f-divergence Minimization", arxiv: "2302.08215" },
  stage: ["objective", "preference"],
  describe: `No group: the policy is fitted to a target distribution p = P/Z by any f-divergence, a REINFORCE step with
pseudo-reward −f′(π/p) on whole-sequence log-probabilities. Without seq_logp_target_unnorm the target is the reference times
exp(R/beta). One Z for all contexts (the authors keep one each); switching the offline proposal is left out.
State: z_mean, z_count, baseline_buffer and its baseline_mean.`,
  formula: "loss = mean_x sg(π/q)·(−(r − b))·ln π(x), r = −f′(π(x)/p(x))",
  params: {
    divergence: choice(
      "js",
      ["kl", "reverse_kl", "js", "tv", "chi2", "reverse_chi2"],
      "f; kl is the forward one, KL(p‖π)",
    ),
    baseline: flag(true, "subtract the mean of the last pseudo-rewards"),
    baseline_window: integer(1024, "how many of them", { min: 1 }),
    beta: number(1, "temperature of the reward in the target", { min: 1e-6 }),
    max_z: optional(null, "cap of Z; null: none", { min: 0 }),
  },
  fields: { seq_logp_proposal: "trajectory", seq_logp_target_unnorm: "trajectory" },
  state: {
    init: () => ({ baseline_buffer: [], z_mean: 0, z_count: 0 }),
    step: (c, p) => {
      const { reward, Z, count } = pseudoReward(c, p);
      const seen = [...(c.state["baseline_buffer"] as number[]), ...reward.values()].slice(-p.baseline_window);
      const baseline_mean = seen.length === 0 ? 0 : seen.reduce((a, b) => a + b, 0) / seen.length;
      return { baseline_buffer: seen, baseline_mean, z_mean: Z, z_count: count };
    },
  },
  loss: (c, p) => {
    const { reward, z, weight } = pseudoReward(c, p);
    const seen = p.baseline ? (c.state["baseline_buffer"] as number[]).slice(-p.baseline_window) : [];
    const baseline = seen.length === 0 ? 0 : seen.reduce((a, b) => a + b, 0) / seen.length;
    c.output("z", z);
    return weight
      .mul(c.lift(c.trajectory, reward.sub(baseline).values()))
      .mul(policy(c))
      .meanOver(ALL)
      .neg();
  },
});
