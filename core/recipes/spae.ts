import { choice, defineRecipe, number } from "../recipe.ts";
import { centred, zScore } from "../rl/baseline.ts";
import { ALL } from "../rl/level.ts";

const STEPS = "batch steps";

export default defineRecipe({
  id: "spae",
  paper: {
    title:
      "Step Potential Advantage Estimation: Harnessing Intermediate Confidence and Correctness for Efficient Mathematical Reasoning",
    arxiv: "2601.03823",
    source: "repo cii030/SPAE-RL",
  },
  stage: ["advantage", "reward"],
  describe: `After each step the policy is made to answer at once; how often that is right and how sure it is make a potential,
whose change pays or charges the step, and steps after the answer was certain weigh less. The whole is whitened over the
trained tokens. Rewards are centred on the group without a deviation. Equations as quoted in notes on the paper. In
training steps are segments and the forced answer is the greedy continuation from there.`,
  formula:
    "Φ = 1.5·acc·conf + 0.5·acc − conf; A_raw = (R − μ_g)·f + xi·(e^minmax(ΔΦ) − mean), f = 1 − alpha(1 − e^−C); A = z_batch(A_raw)",
  params: {
    xi: number(0.5, "weight of the change of potential"),
    alpha: number(0.5, "what steps after certainty lose in the end", { min: 0, max: 1 }),
    sat: number(0.9, "potential above which the answer counts as certain"),
    eps: number(1e-8, "added to the batch's standard deviation", { min: 0 }),
    std: choice("population", ["population", "sample"], "divisor of the variance: n or n − 1"),
    minmax_over: choice(STEPS, [STEPS], "what the changes are scaled over"),
    center_over: choice(STEPS, [STEPS], "what the scaled changes are centred on"),
  },
  fields: { probe_correctness: "ragged", probe_confidence: "ragged" },
  advantage: (c, p) => {
    const right = c.field("probe_correctness");
    const step = c.steps("probe_correctness");
    const sure = c.lift(step, c.field("probe_confidence").values());
    const potential = right.mul(sure).mul(1.5).add(right.mul(0.5)).sub(sure);
    const first = potential.positionOver(c.trajectory).eq(0);
    const delta = first.where(0, potential.sub(potential.shift(c.trajectory, 1)));
    const least = delta.minOver(ALL);
    const spread = delta.maxOver(ALL).sub(least);
    const bonus = centred(spread.gt(0).where(delta.sub(least).div(spread), 1).exp(), ALL);
    const certain = potential.gt(p.sat);
    const earlier = certain.cumulate(c.trajectory).sub(certain);
    const saturation = earlier.neg().expm1().mul(p.alpha).add(1);
    const raw = centred(c.reward, c.group).mul(saturation).add(bonus.mul(p.xi)).to(c.token);
    c.output("potential", potential);
    c.output("delta", delta);
    c.output("saturation", saturation);
    c.output("advantage_raw", raw);
    return zScore(raw, ALL, { eps: p.eps, ddof: p.std === "sample" ? 1 : 0, weight: c.mask });
  },
  trains: { supply: { turn: "segment", probe_correctness: "probe-right", probe_confidence: "probe-confidence" } },
});
