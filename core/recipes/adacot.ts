import { defineRecipe, flag, number } from "../recipe.ts";

export default defineRecipe({
  id: "adacot",
  paper: {
    title: "AdaCoT: Pareto-Optimal Adaptive Chain-of-Thought Triggering via Reinforcement Learning",
    arxiv: "2505.11896",
  },
  stage: ["reward", "objective", "pipeline"],
  describe: `Learns whether to think at all: penalties for no thought where it was needed, for a thought where it was not, and
for a broken format; and, in stages whose data are skewed, the decision token (the first after the opening of the
thought) leaves the loss, so that what was learned of the decision survives. The numbers of the penalties were not read.
The paper trains with PPO and a value head after a warm start; here the rest of the step is GRPO's. Training: a
thought stands between <think> and </think>, and the prompt file's column "think" says who needs one (the paper: a model).`,
  formula:
    "R' = R − alpha_miss·[needed ∧ not used] − alpha_over·[used ∧ not needed] − gamma_format·[format bad]; m = 0 at the decision",
  params: {
    alpha_miss: number(0.1, "penalty of a missing thought; with alpha_over the point on the Pareto front", { min: 0 }),
    alpha_over: number(0.3, "penalty of a needless thought", { min: 0 }),
    gamma_format: number(1, "penalty of a broken format", { min: 0 }),
    slm: flag(true, "selective loss masking: whether the decision token leaves the loss"),
  },
  fields: { cot_used: "trajectory", cot_needed: "trajectory", format_bad: "trajectory", decision_position: "raw" },
  trains: {
    supply: {
      cot_used: "thought-used",
      cot_needed: "thought-needed",
      format_bad: "thought-broken",
      decision_position: "thought-decision",
    },
  },
  reward: (c, p) => {
    const [used, needed] = [c.field("cot_used"), c.field("cot_needed")];
    const miss = used.not().and(needed).mul(p.alpha_miss);
    const over = used.and(needed.not()).mul(p.alpha_over);
    return c.reward.sub(miss).sub(over).sub(c.field("format_bad").mul(p.gamma_format));
  },
  filter: (c, p) => {
    if (!p.slm) return { keepToken: c.mask.ne(0) };
    const at = c.raw<(number | null)[]>("decision_position");
    const decision = c.lift(
      c.trajectory,
      Array.from(at, (k) => k ?? -1),
    );
    const place = c.number(1, c.token).positionOver(c.trajectory);
    return { keepToken: c.mask.mul(place.ne(decision)), leftOut: true };
  },
});
