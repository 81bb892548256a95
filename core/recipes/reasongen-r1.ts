import { anything, defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { type AdamScalar, adamScalar, adamStep, asinh, sinh } from "../rl/controller.ts";
import { mixedGroups } from "../rl/filter.ts";
import { ppoClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

const KINDS = ["text", "image"] as const;
type Kind = (typeof KINDS)[number];

interface Controller {
  target_text: number;
  target_image: number;
  coef_lr: number;
  coef_min: number;
  coef_max: number;
}

/** Trained tokens of a modality. */
function tokensOf(c: Context, kind: Kind): Vec {
  const image = c.optional("image_mask") ?? c.number(0, c.token);
  return c.mask.mul(kind === "image" ? image : image.not());
}

const psiOf = (c: Context, kind: Kind): number => c.state[`psi_${kind}`] as number;

/** psi after an entropy of that modality: one step of Adam on −sinh(psi)·(H − target), then sinh(psi) clipped. */
function stepped(c: Context, kind: Kind, before: AdamScalar, entropy: number, p: Controller): AdamScalar {
  const psi = c.graph.input(ALL, [before.value]);
  const coefficient = psi.exp().sub(psi.neg().exp()).div(2);
  const gap = entropy - (kind === "text" ? p.target_text : p.target_image);
  const [gradient] = gradients(coefficient.mul(-gap), [psi]);
  const after = adamStep(before, gradient.value(), p.coef_lr);
  return { ...after, value: asinh(Math.min(p.coef_max, Math.max(p.coef_min, sinh(after.value)))) };
}

/** The state with psi and moments of a modality in it. */
const stored = (kind: Kind, adam: AdamScalar) => ({ [`psi_${kind}`]: adam.value, [`adam_${kind}`]: adam });
const held = (c: Context, kind: Kind): AdamScalar => ({
  ...((c.state[`adam_${kind}`] as AdamScalar | undefined) ?? adamScalar(0)),
  value: psiOf(c, kind),
});

export default defineRecipe({
  id: "reasongen-r1",
  paper: {
    title: "ReasonGen-R1: CoT for Autoregressive Image generation models through SFT and RL",
    arxiv: "2505.24875",
  },
  stage: ["objective", "filter", "reward", "application", "pipeline"],
  describe: `GRPO over text and image tokens (image_mask; all text without it), mean over tokens, groups of equal rewards dropped,
no KL, and an entropy term whose signed coefficient sinh(psi) follows the entropy of each modality: above the target it
pushes down, below it up. psi moves once an optimiser step, after the loss, by Adam. entropy_sequence replays the controller
on given entropies. A modality without a token is skipped. The judge and resampling are left out.`,
  formula: "loss = token mean of the PPO clip + Σ_x sinh(psi_x)·H̄_x; psi by Adam on −sinh(psi)(H̄ − target)",
  params: {
    target_text: number(2, "entropy aimed at on text tokens, nats", { min: 0 }),
    target_image: number(7, "entropy aimed at on image tokens, nats", { min: 0 }),
    coef_lr: number(5e-5, "learning rate of psi", { min: 0 }),
    coef_min: number(-0.005, "least coefficient"),
    coef_max: number(0.005, "largest coefficient"),
    clip: number(0.2, "clip range on both sides", { min: 0, max: 1 }),
    adam: anything("betas 0.9/0.999 eps 1e-8", "constants of the controller's Adam (fixed)"),
    adv_eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { image_mask: "token", entropy_sequence: "raw" },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  filter: (c) => ({ keep: mixedGroups(c, c.reward) }),
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.clip, hi: p.clip }),
  kl: (c) => c.number(0),
  aggregate: (c, loss) => {
    const policy = tokenMean(c, loss);
    c.output("policy_loss", policy);
    return policy;
  },
  aux: (c) =>
    KINDS.map((kind) => {
      const mean = c.entropy.meanOver(c.all, tokensOf(c, kind));
      c.output(`entropy_${kind}`, mean);
      return mean.mul(sinh(psiOf(c, kind)));
    }).reduce((a, b) => a.add(b)),
  state: {
    init: () => ({ ...stored("text", adamScalar(0)), ...stored("image", adamScalar(0)) }),
    update: (c, p) => {
      if (!c.hasRaw("entropy_sequence")) return c.state;
      const sequence = c.raw<Record<Kind, number[]>>("entropy_sequence");
      let state = c.state;
      const [before, after]: Record<string, number[]>[] = [{}, {}];
      for (const kind of KINDS) {
        let adam = held(c, kind);
        [before[kind], after[kind]] = [[], []];
        for (const entropy of sequence[kind] ?? []) {
          before[kind].push(sinh(adam.value));
          adam = stepped(c, kind, adam, entropy, p);
          after[kind].push(adam.value);
        }
        state = { ...state, ...stored(kind, adam) };
      }
      c.output("alpha_before", before);
      c.output("psi_after", after);
      return state;
    },
    step: (c, p) => {
      const present = KINDS.filter((kind) => tokensOf(c, kind).sumOver(c.all).value() > 0);
      const moved = present.map((kind) => {
        const entropy = c.entropy.stop().meanOver(c.all, tokensOf(c, kind)).value();
        return stored(kind, stepped(c, kind, held(c, kind), entropy, p));
      });
      return Object.assign({}, c.state, ...moved);
    },
  },
});
