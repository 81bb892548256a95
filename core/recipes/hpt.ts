import { defineRecipe, flag, integer, none, number } from "../recipe.ts";
import { tokenSum } from "../rl/aggregate.ts";
import { centred, zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { ppoClip } from "../rl/gate.ts";
import { gradients } from "../rl/grad.ts";
import { byAppearance } from "../rl/groups.ts";
import { ALL, Level } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

const own = (c: Context): Vec => c.optional("demo")?.not() ?? c.number(1, c.trajectory);

/** 1 for prompts with no more right rollouts than the gate. */
const failed = (c: Context, gate: number): Vec => own(c).mul(c.reward.gt(0)).sumOver(c.group).le(gate);

/** Demonstrations given apart, by group number: their tokens of failed prompts, on a level of their own. */
function apart(c: Context, gate: number): { lists: [string, number[]][]; logp: Vec } | undefined {
  if (!c.hasRaw("demo_logp")) return undefined;
  const switched = failed(c, gate).values();
  const lists = Object.entries(c.raw<Record<string, number[]>>("demo_logp")).filter(([g]) => switched[Number(g)] === 1);
  const flat = lists.flatMap(([, logp]) => logp);
  return { lists, logp: c.graph.input(new Level("demonstration token", flat.length), flat) };
}

export default defineRecipe({
  id: "hpt",
  paper: {
    title: "Towards a Unified View of Large Language Model Post-Training",
    arxiv: "2509.04419",
    source: "github TsinghuaC3I/Unify-Post-Training hpt/verl/verl/mix_src/mix_core_alg.py",
  },
  stage: ["objective", "pipeline", "theory"],
  describe: `A prompt whose rollouts all fail is learned from its demonstration (SFT), every other from its rollouts
(Dr. GRPO without clip, as released: summed over rows, divided by the padded length alone). Demonstrations are rows of the
group whose field demo is true, or lists in demo_logp by group number. The entropy bonus of 0.001 is left out.`,
  formula: "loss = Σ_{kept} −(R − mean_g)·ρ/divisor + sft_coef·(−mean over failed prompts' demonstration tokens of lp)",
  params: {
    gate: integer(0, "right rollouts up to which a prompt has failed", { min: 0 }),
    sft_coef: number(1, "weight of the demonstrations", { min: 0 }),
    clip: flag(false, "PPO clip of the rollouts' ratio"),
    divisor: number(8192, "padded response length, tokens", { min: 1 }),
    adv_std: flag(false, "divide by the group's deviation"),
    eps_lo: number(0.2, "clip range below 1, where clip is on", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1, where clip is on", { min: 0 }),
  },
  fields: { demo: "trajectory", demo_logp: "raw" },
  trains: { supply: { demo: "demonstration" } },
  advantage: (c, p) => {
    c.output(
      "use_sft",
      byAppearance(c, failed(c, p.gate)).map((x) => x === 1),
    );
    const score = p.adv_std
      ? zScore(c.reward, c.group, { eps: 1e-6, weight: own(c) })
      : centred(c.reward, c.group, own(c));
    return score.mul(failed(c, p.gate).not()).mul(c.mask);
  },
  filter: (c, p) => ({ keep: own(c).mul(failed(c, p.gate).not()) }),
  gate: (c, ratio, p) =>
    p.clip ? ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }) : ratio.mul(c.advantage).neg(),
  kl: none,
  aggregate: (c, loss, p) => {
    const rl = tokenSum(c, loss).div(p.divisor);
    c.output("rl_loss", rl);
    return rl;
  },
  aux: (c, p) => {
    const rows = own(c).not().mul(failed(c, p.gate)).mul(c.mask);
    const lists = apart(c, p.gate);
    const sum = rows
      .mul(c.logp)
      .sumOver(ALL)
      .add(lists?.logp.sumOver(ALL) ?? 0);
    const sft = sum.div(rows.sumOver(ALL).add(lists?.logp.level.size ?? 0)).neg();
    c.output("sft_loss", sft);
    if (lists) {
      const slope = gradients(sft.mul(p.sft_coef), [lists.logp])[0].values();
      const ends = lists.lists.map((_, k) => lists.lists.slice(0, k + 1).reduce((sum, [, x]) => sum + x.length, 0));
      const rowsOf = lists.lists.map(([g, x], k) => [g, [...slope.slice(ends[k] - x.length, ends[k])]]);
      c.output("d_demo_logp", Object.fromEntries(rowsOf));
    }
    return sft.mul(p.sft_coef);
  },
});
