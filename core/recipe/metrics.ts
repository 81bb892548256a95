/**
 * @file The health of a step in numbers, the same for every recipe, under TRL's and verl's names. They share the sweeps of
 * the loss over the tokens; nothing here has a gradient.
 *
 * On-policy (the current policy drew the samples) every ratio and the effective sample size are exactly 1, and every
 * divergence and clip fraction exactly 0. Without a trained token all means are 0.
 */
import type { Context } from "../rl/context.ts";
import { klEstimate } from "../rl/kl.ts";
import { ALL } from "../rl/level.ts";
import { logRatio, tokenRatio } from "../rl/ratio.ts";
import type { Vec } from "../rl/vec.ts";

/** What every objective reports; a gate adds its clip fractions by side (rl/gate.ts). */
export function policyMetrics(c: Context): void {
  if (!c.wantsMetrics || !c.has("logp")) return;
  if (c.has("logp_ref")) c.report("kl", c.meanTrained(klEstimate(c.logp.stop().sub(c.logpRef), "k3")));
  if (c.has("logp_old")) {
    c.report("ppo_kl", c.number(0).sub(c.meanTrained(logRatio(c).stop())));
    if (!c.metrics.has("ratio")) c.report("ratio", c.meanTrained(tokenRatio(c).stop()));
  }
  if (c.has("entropy")) c.report("entropy", c.meanTrained(c.entropy.stop()));
  rolloutMetrics(c);
}

/** The current policy against the one that drew the samples: KL (k1, k3), mean importance weight, effective sample share. */
function rolloutMetrics(c: Context): void {
  const name = ["logp_rollout", "logp_old"].find((field) => c.has(field));
  if (!name) return;
  const old = c.field(name);
  const difference = logRatio(c, { old }).stop();
  const weight = tokenRatio(c, { old }).stop();
  const mean = c.meanTrained(weight);
  const kl = c.number(0).sub(c.meanTrained(difference));
  const some = c.mask.sumOver(ALL).gt(0);
  c.report("rollout_corr/kl", kl);
  // Mean of e^L − L − 1, from means that are there already.
  c.report("rollout_corr/k3_kl", mean.add(kl).sub(some).max(0));
  c.report("rollout_corr/rollout_is_mean", mean);
  // (mean w)² / mean w², in (0, 1]. A weight of e^300 squared is still finite.
  c.report("rollout_corr/rollout_is_eff_sample_size", mean.square().div(meanSquare(c, weight)));
}

/** Mean of x² over the trained tokens, as (x·m)·x so that x·m is shared with the mean of x. */
function meanSquare(c: Context, x: Vec): Vec {
  return x.mul(c.mask).mul(x).sumOver(ALL).div(c.mask.sumOver(ALL));
}

/** Statistics of the reward by group, of each named reward, and of the value against what came of it. */
export function rewardMetrics(c: Context): void {
  if (!c.wantsMetrics) return;
  for (const name of rewardNames(c)) {
    const value = c.field(`rewards.${name}`);
    const weight = c.present(`rewards.${name}`);
    c.report(`rewards/${name}/mean`, value.meanOver(ALL, weight));
    c.report(`rewards/${name}/std`, value.stdOver(ALL, { ddof: 1, weight }));
  }
  if (!c.has("reward")) return;
  const present = c.present("reward");
  c.report("reward", c.reward.meanOver(ALL, present));
  const deviation = c.reward.stdOver(c.group, { ddof: 1, weight: present });
  c.report("reward_std", deviation.meanOver(ALL));
  c.report("frac_reward_zero_std", deviation.eq(0).meanOver(ALL));
  if (c.has("value")) c.report("critic/vf_explained_var", explainedVariance(c));
}

/** 1 − Var(R − V)/Var(R) over trained tokens, R the field `return` or else the outcome reward; 0 where Var(R) is 0. */
function explainedVariance(c: Context): Vec {
  const returns = (c.optional("return") ?? c.reward).to(c.token);
  const weight = c.mask;
  const all = returns.varOver(ALL, { weight });
  const left = returns.sub(c.value).varOver(ALL, { weight });
  return all.gt(0).sub(left.div(all));
}

function rewardNames(c: Context): string[] {
  return [...c.batch.fields.keys()]
    .filter((name) => name.startsWith("rewards.") && !name.endsWith(".present"))
    .map((name) => name.slice("rewards.".length));
}
