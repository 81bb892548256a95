import { choice, defineRecipe, integer, none, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { dualClip } from "../rl/gate.ts";
import { ALL } from "../rl/level.ts";
import { sameShape } from "../rl/nested.ts";
import { pow } from "../rl/scalar.ts";

interface Forgetting {
  d_half: number;
  rho_min: number;
  rho_max: number;
}

/** Pseudo-counts of every prompt that the state or the batch knows; a new prompt has ½ and ½. */
function tracker(c: Context): { alpha: number[]; beta: number[]; value: number[]; prompt: number[] } {
  const prompt = [...c.field("prompt").values()];
  const size = prompt.reduce((n, q) => Math.max(n, q + 1), 0);
  const grown = (name: string): number[] => {
    const before = c.state[name] as number[];
    return Array.from({ length: Math.max(size, before.length) }, (_, q) => before[q] ?? 0.5);
  };
  const [alpha, beta] = [grown("alpha"), grown("beta")];
  const value = alpha.map((a, q) => (a + beta[q] > 0 ? a / (a + beta[q]) : 0.5));
  return { alpha, beta, value, prompt };
}

/** How far the policy has moved on the stored response of each prompt (nats a token), and what is remembered after that. */
function forgetting(c: Context, prompts: number, p: Forgetting): { kl: number[]; rho: number[] } {
  const lists = (name: string): number[][] => (c.hasRaw(name) ? c.raw<number[][]>(name) : []);
  if (c.hasRaw("stored_logp") && c.hasRaw("stored_logp_now")) sameShape(c, 2, "stored_logp", "stored_logp_now");
  const [stored, now] = [lists("stored_logp"), lists("stored_logp_now")];
  const kl = Array.from({ length: prompts }, (_, q) => {
    const before = stored[q] ?? [];
    const sum = before.reduce((total, lp, t) => total + Math.abs(lp - (now[q]?.[t] ?? lp)), 0);
    return before.length > 0 ? sum / before.length : 0;
  });
  return { kl, rho: kl.map((d) => Math.min(p.rho_max, Math.max(p.rho_min, pow(0.5, d / p.d_half)))) };
}

export default defineRecipe({
  id: "spo",
  paper: {
    title: "Single-stream Policy Optimization",
    arxiv: "2509.13232",
    source: "github verl-project/verl-recipe spo/spo_ray_trainer.py",
  },
  stage: ["sampler", "rollout", "advantage"],
  describe: `One rollout a prompt: the baseline is the prompt's own success rate, remembered as pseudo-counts that forget the
faster the further the policy has moved on the response it last gave; advantages are normalised over the whole batch.
sampling_weight (not normalised) prefers prompts of uncertain outcome. Dual clip, token mean, no KL. Of a prompt that is
twice in a batch the last rollout counts. Pseudo-counts from a first round of samples are the caller's state.`,
  formula: "A = z_batch(R − v_q), v = α/(α+β); α ← ρα + R, β ← ρβ + 1 − R, ρ = clamp(2^(−D/d_half), rho_min, rho_max)",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
    clip_c: number(10, "dual clip of negative advantages", { min: 1 }),
    d_half: number(0.06, "move of the policy (nats a token) that halves the memory", { min: 1e-9 }),
    rho_min: number(0.875, "least that is remembered", { min: 0, max: 1 }),
    rho_max: number(0.96, "most that is remembered", { min: 0, max: 1 }),
    explore: number(0.05, "added to every sampling weight", { min: 0 }),
    adv_eps: number(1e-8, "added to the batch's standard deviation", { min: 0 }),
    aggregation: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
    init_samples: integer(8, "samples a prompt for the first pseudo-counts (the caller's)", { min: 0 }),
  },
  fields: { prompt: "trajectory", stored_logp: "raw", stored_logp_now: "raw" },
  sampler: (c, p) => {
    const weight = tracker(c).value.map((v) => Math.sqrt(Math.max(0, v * (1 - v))) + p.explore);
    c.output("sampling_weight", weight);
  },
  advantage: (c, p) => {
    const { value, prompt } = tracker(c);
    const baseline = c.lift(
      c.trajectory,
      prompt.map((q) => value[q]),
    );
    c.output("baseline", baseline);
    const score = zScore(c.reward.sub(baseline), ALL, { eps: p.adv_eps, rawSingles: true });
    return score.to(c.token).mul(c.mask);
  },
  gate: (c, ratio, p) => dualClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }, p.clip_c),
  kl: none,
  aggregate: (c, loss, p) => aggregate(c, loss, p.aggregation),
  state: {
    init: () => ({ alpha: [], beta: [] }),
    update: (c, p) => {
      const { alpha, beta, prompt } = tracker(c);
      const { kl, rho } = forgetting(c, alpha.length, p);
      c.output("kl", kl);
      c.output("rho", rho);
      const after = { alpha: [...alpha], beta: [...beta] };
      c.reward.values().forEach((reward, i) => {
        const q = prompt[i];
        after.alpha[q] = rho[q] * alpha[q] + reward;
        after.beta[q] = rho[q] * beta[q] + 1 - reward;
      });
      return after;
    },
  },
  trains: {
    supply: { prompt: "prompt", stored_logp: "stored-logp", stored_logp_now: "stored-logp-now" },
    draws: "prompts",
  },
});
