import { choice, defineRecipe, number, optional } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

/** Success counts of so many trials each, or what a trainer remembers of each prompt. */
type Probe = { success: readonly number[]; trials: number } | readonly { success_rate: number }[];

const rates = (probe: Probe): number[] =>
  "success" in probe
    ? probe.success.map((n) => (probe.trials > 0 ? n / probe.trials : 0))
    : probe.map((prompt) => prompt.success_rate);

/** [the hardest prompt that was solved, the easiest that was failed]; none where one is missing. Ties: the lower index. */
function pairOf(probe: Probe, split: number): number[] {
  const rate = rates(probe);
  const hard = rate.flatMap((r, q) => (r > 0 && r <= split && r < 1 ? [q] : []));
  const easy = rate.flatMap((r, q) => (r > split && r < 1 ? [q] : []));
  if (hard.length === 0 || easy.length === 0) return [];
  return [hard.reduce((a, b) => (rate[b] < rate[a] ? b : a)), easy.reduce((a, b) => (rate[b] > rate[a] ? b : a))];
}

export default defineRecipe({
  id: "wgrpo",
  paper: {
    title: "Beyond Variance: Prompt-Efficient RLVR via Rare-Event Amplification and Bidirectional Pairing",
    arxiv: "2602.03452",
  },
  stage: ["sampler", "advantage"],
  describe: `Trains on a pair of prompts, a hard one whose rare successes and an easy one whose rare failures get large
advantages; selected is that pair, from a probe of success counts (prompt_stats). Failures count −lambda_neg before the
z-score, which cancels it but for eps. lambda_neg, the choice inside the window and the split are ours; so is the
population deviation. The rest is GRPO.`,
  formula:
    "R' = 1 or −lambda_neg; A = (R' − μ_g)/(σ_g + eps): about √((1−p)/p) for a success, −√(p/(1−p)) for a failure",
  params: {
    split: number(0.5, "success rate that parts hard from easy prompts", { min: 0, max: 1 }),
    lambda_neg: optional(null, "size of a failure's reward; null: 1", { min: 0 }),
    eps: number(1e-6, "added to the group's standard deviation", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the variance: n or n − 1"),
    c: optional(null, "width of the easy window in failures, which the choice here lies in for any value", { min: 1 }),
  },
  fields: { role: "raw" },
  trains: { supply: { prompt_stats: "prompt-stats" }, draws: "prompts" },
  sampler: (c, p) => {
    // Optional: a run without the probe trains on the prompts that it has.
    if (c.hasRaw("prompt_stats")) c.output("selected", pairOf(c.raw<Probe>("prompt_stats"), p.split));
  },
  advantage: (c, p) => {
    const success = c.field("correct").gt(0);
    return zScore(success.where(1, -(p.lambda_neg ?? 1)), c.group, { eps: p.eps, ddof: p.std === "sample" ? 1 : 0 });
  },
});
