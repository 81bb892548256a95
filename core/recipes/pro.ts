import { defineRecipe, integer, number } from "../recipe.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { nested, unnest } from "../rl/nested.ts";

export default defineRecipe({
  id: "pro",
  paper: { title: "Preference Ranking Optimization for Human Alignment", arxiv: "2306.17492" },
  stage: ["preference"],
  describe: `Supervised: the n responses of a prompt, best first, are ranked one stage after the other, each against all worse ones,
with differences of their rewards as temperatures of the mean token log-probability; plus the likelihood of the best.
Quirk of the authors' code: that likelihood is the sum of log-probabilities and its weight grows with (n − 1)². Fields by
prompt and rank: rewards_list (descending), logp. Equal rewards give no gradient.`,
  formula:
    "τ_kj = r_k − r_j, τ_kk = max_j τ_kj; loss_k = ln(eps + Σ_{j≥k} e^(s_j τ_kj)) − s_k τ_kk; + w(n−1)²·mean(−S_0)",
  params: {
    sft_weight: number(0.05, "weight of the likelihood of the best response", { min: 0 }),
    n: integer(2, "responses a prompt", { min: 1 }),
    eps: number(1e-10, "inside the logarithm", { min: 0 }),
    lr: number(5e-6, "learning rate (the trainer's)", { min: 0 }),
    epochs: integer(2, "epochs (the trainer's)", { min: 1 }),
    block_size: integer(512, "longest sequence (the trainer's)", { min: 1 }),
  },
  fields: { rewards_list: "raw", logp: "raw", length: "raw" },
  outputs: (c, p) => {
    const logp = nested(c, "logp", c.raw<number[][][]>("logp"), { differentiate: true, depth: 3 });
    const [prompt, response] = logp.levels;
    const rewards = c.raw<number[][]>("rewards_list");
    const reward = nested(c, "rewards_list", rewards, { within: [prompt, response], depth: 2 }).vec;
    const total = logp.vec.sumOver(response);
    const s = logp.vec.meanOver(response);
    const rank = c.graph.full(response, 1).positionOver(prompt);
    const stages = Math.max(0, ...rewards.map((row) => row.length - 1));
    const losses = Array.from({ length: stages }, (_, k) => {
      const [own, worse] = [rank.eq(k), rank.gt(k)];
      const gap = own.where(reward, 0).sumOver(prompt).to(response).sub(reward);
      const widest = worse.where(gap, 0).maxOver(prompt);
      const scaled = s.mul(own.where(widest, gap));
      const sum = scaled.exp().mul(own.or(worse)).sumOver(prompt).add(p.eps);
      // A prompt of fewer responses has no such stage.
      const there = worse.maxOver(prompt);
      return there.where(sum.log().sub(scaled.mul(own).sumOver(prompt)), 0).meanOver(ALL);
    });
    const best = total.mul(rank.eq(0)).sumOver(prompt).meanOver(ALL);
    const sft = best.mul(-p.sft_weight * (p.n - 1) * (p.n - 1));
    const loss = losses.reduce((a, b) => a.add(b), sft);
    return {
      stage_losses: losses.map((x) => x.value()),
      sft_loss: sft.value(),
      loss: loss.value(),
      dlogp: unnest(logp.levels, gradients(loss, [logp.vec])[0]),
    };
  },
  trains: { refuse: "needs given responses ranked by a reward model: supply logp and rewards_list by prompt and rank" },
});
