import { defineRecipe, number } from "../recipe.ts";
import { whiten } from "../rl/baseline.ts";
import { gae } from "../rl/credit.ts";
import { ppoClip } from "../rl/gate.ts";
import { tokenRatio } from "../rl/ratio.ts";
import { clippedValueLoss } from "../rl/value.ts";

export default defineRecipe({
  id: "dr-po",
  paper: { title: "Dataset Reset Policy Optimization for RLHF", arxiv: "2404.08495" },
  stage: ["rollout", "objective"],
  describe: `PPO whose rollouts start from a prefix of a preferred answer out of the data; the copied tokens carry reward, value
and advantage but no policy loss. Token rewards (score on the last, less the KL to the reference) are scaled to unit
variance around their mean, advantages whitened, the value clipped around the rollout's. No groups. Means run over real
tokens (the released code's over padded positions too). The adaptive KL coefficient and the resetting are left out.`,
  formula:
    "r_t = −kl_coef(lp_old − lp_ref) + [last]·score; loss = mean_{roll=0} max(−Aρ, −A·clip ρ) + vf_coef·mean ½max((V−ret)², (clip V−ret)²)",
  params: {
    kl_coef: number(0.05, "coefficient of the KL inside the token reward", { min: 0 }),
    gamma: number(1, "discount of a token", { min: 0, max: 1 }),
    gae_lambda: number(0.95, "trace decay", { min: 0, max: 1 }),
    clip: number(0.2, "clip range on both sides of 1", { min: 0, max: 1 }),
    clip_value: number(0.2, "clip of the value around the rollout's", { min: 0 }),
    vf_coef: number(0.1, "weight of the value loss", { min: 0 }),
  },
  fields: {
    score: "trajectory",
    rollin: "trajectory",
    rollin_mask: "token",
    // Declared, so that recorded values above 0 pass.
    logp: "token",
    logp_old: "token",
    logp_ref: "token",
  },
  trains: { supply: { score: "outcome", rollin_mask: "roll-in", value: "value", value_old: "value" } },
  advantage: (c, p) => {
    const last = c.number(1, c.token).cumulate(c.trajectory, "backward").eq(1);
    const raw = last.mul(c.field("score")).sub(c.logpOld.sub(c.logpRef).mul(p.kl_coef));
    const reward = whiten(c, raw, { ddof: 0 }).add(raw.meanOver(c.all, c.mask));
    const { advantage, returns } = gae(c, reward, c.field("value_old"), p.gamma, p.gae_lambda);
    c.output("returns", returns);
    c.carry("returns", returns);
    return whiten(c, advantage, { ddof: 0 });
  },
  loss: (c, p) => {
    const own = c.mask.mul(c.field("rollin_mask").not());
    const policy = ppoClip(c, tokenRatio(c), c.advantage, { lo: p.clip, hi: p.clip }).meanOver(c.all, own);
    const value = clippedValueLoss(c.value, c.field("value_old"), c.field("returns"), p.clip_value).meanOver(
      c.all,
      c.mask,
    );
    c.output("policy_loss", policy);
    c.output("value_loss", value);
    return policy.add(value.mul(p.vf_coef));
  },
});
