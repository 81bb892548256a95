import { anything, choice, defineRecipe, integer, number, optional } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { gae } from "../rl/credit.ts";
import { entropyOf, tokenLogp } from "../rl/entropy.ts";
import { ppoClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";
import { nested } from "../rl/nested.ts";
import { nucleus, topRanks } from "../rl/vocabulary.ts";

interface Controller {
  kl_target: number | null;
}

/** The coefficient after a rollout batch of that mean KL. */
function adapted(coefficient: number, kl: number, { kl_target }: Controller): number {
  if (kl_target === null) return coefficient;
  const error = Math.min(0.2, Math.max(-0.2, (kl - kl_target) / kl_target));
  return coefficient * (1 + 0.1 * error);
}

const sequence = (c: Context): number[] => (c.hasRaw("kl_sequence") ? c.raw<number[]>("kl_sequence") : []);

export default defineRecipe({
  id: "nlpo",
  paper: {
    title:
      "Is Reinforcement Learning (Not) for Natural Language Processing: Benchmarks, Baselines, and Building Blocks for Natural Language Policy Optimization",
    arxiv: "2210.01241",
  },
  stage: ["rollout", "objective", "policy"],
  describe: `PPO with value head over a masked policy: only the top-p tokens of an older copy of the policy (mask_logits) may be
sampled, and ratios are those of the distribution renormalised over them. reward_token holds the KL penalty already; its
coefficient adapts once a rollout batch (kl_sequence; state kl_coef). Refreshing the copy and drawing under the mask are
left out. Outputs action_mask, logp_masked, and dlogp by logp_masked.`,
  formula: "π̃ = softmax over the mask; loss = mean[−min(ρ̃A, clip(ρ̃)A)] + vf_coef·mean(G − V)² − ent_coef·mean H(π̃)",
  params: {
    mask_type: choice(
      "learned_top_p",
      ["learned_top_p", "learned_top_k", "topk"],
      "which tokens may be sampled: the masking policy's nucleus, its top_k, or the current policy's top_k",
    ),
    top_k: integer(50, "ranks that learned_top_k and topk leave (ours)", { min: 1 }),
    top_p: number(0.9, "probability mass of the masking policy that stays", { min: 0, max: 1 }),
    min_tokens_to_keep: integer(100, "ranks that stay in any case", { min: 0 }),
    special_ids: anything<number[]>([], "token ids that are always allowed"),
    gamma: number(0.99, "discount of a token", { min: 0, max: 1 }),
    gae_lambda: number(0.95, "trace decay", { min: 0, max: 1 }),
    clip: number(0.2, "clip range on both sides", { min: 0, max: 1 }),
    vf_coef: number(0.5, "coefficient of the value loss", { min: 0 }),
    ent_coef: number(0, "coefficient of the entropy bonus", { min: 0 }),
    kl_target: optional(0.1, "KL that the controller aims at, nats (null: the coefficient stays)", { min: 1e-9 }),
    kl_coef0: number(0.1, "first coefficient of the KL penalty", { min: 0 }),
  },
  fields: { mask_logits: "vocabulary", kl_sequence: "raw" },
  loss: (c, p) => {
    const always = p.special_ids;
    const masking = p.mask_type === "topk" ? c.field("logits") : c.field("mask_logits");
    const allowed =
      p.mask_type === "learned_top_p"
        ? nucleus(c, masking, { topP: p.top_p, least: p.min_tokens_to_keep, always })
        : topRanks(c, masking, { k: p.top_k, always });
    // So far below the largest that the softmax has no share of it, and finite.
    const masked = allowed.where(c.field("logits"), c.field("logits").stop().maxOver(c.token).sub(1000));
    const logp = tokenLogp(c, masked);
    const old = c.optional("value_old") ?? c.value.stop();
    const { advantage, returns } = gae(c, c.field("reward_token"), old, p.gamma, p.gae_lambda);
    const centre = advantage.centreOver(c.all, c.mask);
    const scaled = centre.div(advantage.stdOver(c.all, { ddof: 1, weight: c.mask }).add(1e-8)).mul(c.mask);
    const policy = ppoClip(c, logp.sub(c.logpOld).exp(), scaled, { lo: p.clip, hi: p.clip }).meanOver(c.all, c.mask);
    const value = returns.sub(c.value).square().meanOver(c.all, c.mask);
    c.output("action_mask", allowed);
    c.output("logp_masked", logp);
    c.output("advantage", scaled);
    c.output("policy_loss", policy);
    c.output("value_loss", value);
    c.output("dlogp", gradients(policy, [logp])[0]);
    const loss = policy.add(value.mul(p.vf_coef));
    return p.ent_coef === 0 ? loss : loss.sub(entropyOf(masked, c.token).meanOver(c.all, c.mask).mul(p.ent_coef));
  },
  state: {
    init: (p) => ({ kl_coef: p.kl_coef0 }),
    update: (c, p) => {
      let coefficient = c.state["kl_coef"] as number;
      const path = nested(c, "kl_sequence", sequence(c), { depth: 1 }).vec;
      const steps = [...path.values()].map((kl) => {
        coefficient = adapted(coefficient, kl, p);
        return coefficient;
      });
      c.output("kl_coef_sequence", steps);
      return { kl_coef: coefficient };
    },
  },
  trains: {
    refuse: "needs the logits of the masking policy and sampling under its mask: supply logits and mask_logits",
  },
});
