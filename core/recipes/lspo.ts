import { defineRecipe, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { Level } from "../rl/level.ts";
import { pairMean } from "../rl/preference.ts";

/** σ(a) in proportion to positive regret; uniform where there is none. */
function regretMatching(regret: readonly number[]): number[] {
  const positive = regret.map((r) => Math.max(r, 0));
  const total = positive.reduce((a, b) => a + b, 0);
  return positive.map((r) => (total > 0 ? r / total : 1 / regret.length));
}

/** Regrets after the iteration: each action's value over that of the strategy is added. */
function regretAfter(c: Context): number[][] {
  const value = c.raw<number[][]>("value_cf");
  return c.raw<number[][]>("regret").map((row, I) => {
    const expected = regretMatching(row).reduce((sum, s, a) => sum + s * value[I][a], 0);
    return row.map((r, a) => r + value[I][a] - expected);
  });
}

/** Best and worst candidate of each decision by regret (ties: the lower index); null where all are alike. */
function preferences(c: Context): ([number, number] | null)[] {
  const regret = regretAfter(c);
  const infoset = c.raw<number[]>("infoset");
  return c.raw<number[][]>("candidate_action").map((actions, d) => {
    const value = actions.map((a) => regret[infoset[d]][a]);
    const best = value.reduce((k, v, j) => (v > value[k] ? j : k), 0);
    const worst = value.reduce((k, v, j) => (v < value[k] ? j : k), 0);
    return value.length > 0 && value[best] !== value[worst] ? [best, worst] : null;
  });
}

export default defineRecipe({
  id: "lspo",
  paper: {
    title: "Learning Strategic Language Agents in the Werewolf Game with Iterative Latent Space Policy Optimization",
    arxiv: "2502.04686",
  },
  stage: ["rollout", "preference", "pipeline", "application"],
  describe: `Utterances are clustered into latent actions, the abstract game is solved by counterfactual regret
minimisation, and the language model learns by DPO to prefer utterances whose action has high regret. This is the regret step
and the DPO step; clustering and play are left out. A reconstruction: constants and details of all three phases are ours.`,
  formula: "Rg ← Rg + v(I,a) − Σ_b σ(b)v(I,b); loss = mean −ln σ(dpo_beta·(h_best − h_worst))",
  params: { dpo_beta: number(0.1, "strength of the pull to the reference", { min: 0 }) },
  fields: {
    regret: "raw",
    value_cf: "raw",
    infoset: "trajectory",
    candidate_action: "ragged",
    seq_logp: "ragged",
    seq_logp_ref: "ragged",
  },
  trains: {
    refuse: "needs a game with latent actions: supply regret, value_cf, infoset, candidate_action, seq_logp(_ref)",
  },
  loss: (c, p) => {
    const [logp, reference] = [c.field("seq_logp"), c.field("seq_logp_ref")];
    const first = logp.level.edge(c.trajectory).offsets as Int32Array;
    const found = preferences(c);
    const kept = found.flatMap((pair, d) => (pair ? [pair.map((k) => first[d] + k)] : []));
    const level = new Level("preference", kept.length);
    const [best, worst] = [0, 1].map((side) =>
      c.graph.constant(
        level,
        kept.map((pair) => pair[side]),
      ),
    );
    const h = (at: typeof best) => logp.gather(at).sub(reference.gather(at));
    c.output("strategy", c.raw<number[][]>("regret").map(regretMatching));
    c.output("regret_after", regretAfter(c));
    c.output("pairs", found);
    return pairMean(h(best).sub(h(worst)).mul(p.dpo_beta).logSigmoid().neg());
  },
});
