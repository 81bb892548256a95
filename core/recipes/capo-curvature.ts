import { anything, choice, defineRecipe, flag, integer, none, number } from "../recipe.ts";
import { seqMeanTokenMean } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { advance, type Head, type HeadMoments, type HeadToken, headShifts, topProbabilities } from "../rl/curvature.ts";
import { ppoClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";
import { tokenRatio } from "../rl/ratio.ts";
import { log } from "../rl/scalar.ts";

/** One record a token, trajectory after trajectory. */
function headTokens(c: Context): HeadToken[] {
  const hidden = c.raw<number[][][]>("hidden").flat();
  const [ids, logits] = [c.raw<number[][][]>("topk_ids").flat(), c.raw<number[][][]>("topk_logits").flat()];
  const advantage = c.advantage.to(c.token).values();
  return c
    .raw<(number | null)[][]>("action_in_topk")
    .flat()
    .map((action, t) => ({
      hidden: hidden[t],
      ids: ids[t],
      logits: logits[t],
      action: action ?? -1,
      advantage: advantage[t],
    }));
}

const headOf = (c: Context, p: Record<string, unknown>): Head => ({
  kind: p["optimizer_model"] as Head["kind"],
  lr: (p["lr"] as number) * (c.optional("schedule")?.value() ?? 1),
  beta1: p["adam_beta1"] as number,
  beta2: p["adam_beta2"] as number,
  eps: p["adam_eps"] as number,
});

export default defineRecipe({
  id: "capo-curvature",
  paper: {
    title: "Stabilizing Policy Gradients for Sample-Efficient Reinforcement Learning in LLM Reasoning",
    arxiv: "2510.00819",
  },
  stage: ["filter", "update"],
  describe: `A second-order model of the LM head alone predicts how far each token's step would move objective and policy;
tokens that move either too far are dropped, and leave the divisor. The rest is GRPO with the group's mean alone taken off.
Where the batch has no logp, the step is on-policy with lp over the top-k, as recorded. State: Adam's moments of the head
(m, v by vocabulary row, t steps), advanced by the kept gradients over all trained tokens (the divisor was not read), once a
rollout batch. Training: lr is the run's learningRate under its schedule; logits are over the temperature. The bounds are
for the paper's rate: the shifts grow with lr and lr², and at 1e-3 they drop a third of a small model's tokens.`,
  formula:
    "keep iff |m_H| < tau_hessian and m_F < tau_fisher; m_H = lr⟨g, D⟩ + (lr²/2)A[(v·u)² − uᵀ(diag π − ππᵀ)u], m_F = (lr²/2)(v·u)², u = D·h",
  params: {
    optimizer_model: choice("adam", ["adam", "sgd"], "direction of the step"),
    lr: number(1.5e-5, "peak learning rate of the step", { min: 0, config: "learningRate" }),
    top_k: integer(50, "tokens of the softmax: the likeliest", { min: 1 }),
    tau_hessian: number(0.01, "bound of the objective's shift", { min: 0 }),
    symmetric: flag(true, "whether falls are allowed up to the bound as well"),
    tau_fisher: number(1e-4, "bound of the policy's shift", { min: 0 }),
    adam_beta1: number(0.9, "decay of the first moment", { min: 0, max: 1 }),
    adam_beta2: number(0.999, "decay of the second", { min: 0, max: 1 }),
    adam_eps: number(1e-8, "added to the root", { min: 0 }),
    eps_clip: number(0.2, "clip range on both sides of 1", { min: 0, max: 1 }),
    advantage: anything("reward minus group mean, no std", "the advantage in words; there is this one alone"),
  },
  fields: { hidden: "raw", topk_ids: "raw", topk_logits: "raw", action_in_topk: "raw", schedule: "batch" },
  trains: {
    supply: {
      hidden: "last-hidden",
      topk_ids: "top-ids",
      topk_logits: "top-logits",
      action_in_topk: "top-place",
      schedule: "schedule",
    },
  },
  state: {
    init: () => ({ m: {}, v: {}, t: 0 }),
    update: (c, p) => {
      const kept = c.kept.values();
      const tokens = headTokens(c).filter((_, t) => kept[t] !== 0);
      const count = Math.max(1, c.mask.sumOver(c.all).value());
      return { ...advance(tokens, count, headOf(c, p), c.state as unknown as HeadMoments) };
    },
  },
  advantage: (c) => centred(c.reward, c.group),
  filter: (c, p) => {
    const moments = c.state as unknown as HeadMoments;
    const head = headOf(c, p);
    const shifts = headTokens(c).map((token) => headShifts(token, head, moments));
    const [objective, policy] = [shifts.map((s) => s.objective), shifts.map((s) => s.policy)];
    const low = (x: number): boolean => (p.symmetric ? x > -p.tau_hessian : x >= 0);
    const keep = shifts.map((s) => low(s.objective) && s.objective < p.tau_hessian && s.policy < p.tau_fisher);
    c.output("objective_shift", c.lift(c.token, objective));
    c.output("policy_shift", c.lift(c.token, policy));
    return { keepToken: c.mask.mul(c.flags(c.token, keep)), leftOut: true };
  },
  outputs: (c, p) => {
    if (c.has("logp") || c.has("logp_old")) return {};
    const lp = headTokens(c).map(({ logits, action }) => log(topProbabilities(logits)[action] ?? 1));
    const logp = c.graph.input(c.token, lp);
    const ratio = logp.sub(logp.stop()).exp();
    const loss = seqMeanTokenMean(c, ppoClip(c, ratio, c.advantage, { lo: p.eps_clip, hi: p.eps_clip }));
    return { loss: loss.value(), dlogp: gradients(loss, [logp])[0] };
  },
  ratio: (c) => tokenRatio(c),
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_clip, hi: p.eps_clip }),
  kl: none,
  aggregate: (c, loss) => seqMeanTokenMean(c, loss),
});
