import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { NEEDS_DEMONSTRATIONS } from "../rl/distill.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { Level } from "../rl/level.ts";

export default defineRecipe({
  id: "otr",
  paper: {
    title: "One-Token Rollout: Guiding Supervised Fine-Tuning of LLMs with Policy Gradient",
    arxiv: "2509.26313",
  },
  stage: ["objective", "rollout"],
  describe: `Supervised fine-tuning as REINFORCE with rollouts of one token: at every position of the label, K draws from the
current policy (samples, drawn at temperature kappa) have reward 1 if they hit the label, else beta. No baseline, no ratio.
Reconstruction from summaries; K, beta and kappa are from memory, the token mean is SFT's. Training draws the samples itself.`,
  formula: "loss = −(1/Σm) Σ_t m·(1/K) Σ_k R(a_k)·lp(a_k), R = 1 if a_k = label else beta",
  params: {
    K: integer(256, "draws a position", { min: 1 }),
    beta: number(-0.1, "reward of a draw that is not the label", { max: 0 }),
    kappa: number(1.3, "temperature of the draws (the sampler's)", { min: 1e-6 }),
    agg: choice("token-mean", ["token-mean"], "over trained positions"),
  },
  fields: { samples: "raw" },
  rows: (c, p) => {
    const samples = c.raw<number[][][]>("samples");
    const perToken = samples.flat();
    const offsets = new Int32Array(perToken.length + 1);
    perToken.forEach((draws, t) => {
      offsets[t + 1] = offsets[t] + draws.length;
    });
    if (perToken.length !== c.token.size) {
      c.refuse(
        `otr: 'samples' has ${perToken.length} positions for ${c.token.size} tokens`,
        "give the draws of each token",
      );
    }
    const rows = c.vocabulary.edge(c.token).offsets as Int32Array;
    perToken.forEach((draws, t) => {
      const outside = draws.find((id) => !(id >= 0 && id < rows[t + 1] - rows[t]));
      if (outside !== undefined) c.refuse(`otr: a draw at token ${t} is ${outside}`, "draw ids that the logits have");
    });
    const draw = new Level("draw", offsets[perToken.length]).link(c.token, { offsets });
    const taken = c.graph.constant(draw, perToken.flat());
    const reward = taken.eq(c.field("tokens").to(draw)).where(1, p.beta);
    const rewards = reward.values();
    let k = 0;
    c.output(
      "reward_token",
      samples.map((row) => row.map((draws) => draws.map(() => rewards[k++]))),
    );
    const first = c.graph.constant(c.token, rows.subarray(0, c.token.size));
    const logp = logSoftmax(c.field("logits"), c.token).gather(first.to(draw).add(taken));
    return reward.mul(logp).meanOver(c.token);
  },
  loss: (c) => tokenMean(c, c.row.neg()),
  trains: { ...NEEDS_DEMONSTRATIONS, tokenDraws: { count: "K", temperature: "kappa" } },
});
