import { defineRecipe, flag, integer } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import type { Vec } from "../rl/vec.ts";

/** Failed, an error found, and continuations from the correction that succeed. */
const usable = (c: Context, least: number): Vec =>
  c.field("correct").not().and(c.field("first_error").ge(0)).and(c.field("continuation_success").ge(least));

export default defineRecipe({
  id: "int",
  paper: { title: "InT: Self-Proposed Interventions Enable Credit Assignment in LLM Reasoning", arxiv: "2601.14209" },
  stage: ["pipeline", "filter", "objective"],
  describe: `Credit by self-correction: the model names the first wrong step of a failed attempt and writes a better one; it
is fine-tuned on the attempt up to there and that step, where at least one continuation succeeds. The wrong step and all
after it are not trained. This is the fine-tuning step; RL from there is grpo-dr's advantage. The token mean is our choice.`,
  formula: "loss = −Σ lp over s_{<t*} and the intervention, divided by the number of those tokens",
  params: {
    min_successes: integer(1, "continuations that must succeed", { min: 0 }),
    continuations: integer(32, "continuations sampled: the trainer's", { min: 1 }),
    train_suffix: flag(false, "train the attempt's remainder too"),
  },
  fields: {
    step: "token",
    first_error: "trajectory",
    continuation_success: "trajectory",
    intervention_logp: "ragged",
  },
  differentiate: ["intervention_logp"],
  trains: {
    refuse: "needs interventions on failed attempts: supply step, first_error, continuation_success, intervention_logp",
  },
  filter: (c, p) => {
    const keep = usable(c, p.min_successes);
    const before = p.train_suffix ? c.number(1, c.token) : c.field("step").lt(c.field("first_error"));
    return { keep, keepToken: before.mul(keep) };
  },
  loss: (c, p) => {
    const intervention = c.field("intervention_logp");
    const keep = usable(c, p.min_successes).to(intervention.level);
    const sum = c.logp.mul(c.kept).sumOver(ALL).add(intervention.mul(keep).sumOver(ALL));
    const loss = sum.div(c.kept.sumOver(ALL).add(keep.sumOver(ALL)).max(1)).neg();
    c.output("dlogp_intervention", gradients(loss, [intervention])[0]);
    return loss;
  },
});
