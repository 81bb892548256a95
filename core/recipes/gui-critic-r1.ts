import { defineRecipe, number } from "../recipe.ts";
import { trajectoryMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import { klEstimate } from "../rl/kl.ts";
import { implicitReward } from "../rl/preference.ts";
import { levelRatio } from "../rl/ratio.ts";

export default defineRecipe({
  id: "gui-critic-r1",
  paper: {
    title: "Look Before You Leap: A GUI-Critic-R1 Model for Pre-Operative Error Diagnosis in GUI Automation",
    arxiv: "2506.04614",
  },
  stage: ["reward", "application"],
  describe: `GRPO for a critic of actions before they are done: format, verdict and suggestion in a fixed mix. Ratio and k3
are of whole outputs, as the paper writes them. Ours: an output that does not parse earns nothing at all, and the deviation
is GRPO's. The judge of suggestions, the screenshots and the cold start are left out.`,
  formula: "R = w_format·r_f + w_suggestion·r_s + w_accuracy·r_a; loss = mean_i[−min(s_i A, clip(s_i)A) + beta·k3_i]",
  params: {
    w_format: number(0.1, "weight of the form"),
    w_suggestion: number(0.1, "weight of the suggestion"),
    w_accuracy: number(0.8, "weight of the verdict"),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    adv_eps: number(1e-4, "added to the group's deviation", { min: 0 }),
    beta: number(0.01, "coefficient of k3", { min: 0 }),
  },
  fields: { format_ok: "trajectory", predicted: "trajectory", label: "trajectory", suggestion_match: "trajectory" },
  trains: { refuse: "needs labelled GUI actions and a judge: supply format_ok, predicted, label and suggestion_match" },
  reward: (c, p) => {
    const format = c.field("format_ok");
    const accuracy = c.field("predicted").eq(c.field("label")).mul(format);
    const suggestion = c.field("suggestion_match").mul(format);
    const list = (x: typeof format): number[] => [...x.values()];
    c.output("rewards", { format: list(format), accuracy: list(accuracy), suggestion: list(suggestion) });
    return format.mul(p.w_format).add(accuracy.mul(p.w_accuracy)).add(suggestion.mul(p.w_suggestion));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof }),
  ratio: (c) => levelRatio(c, c.trajectory, "product"),
  kl: (c, p) => (p.beta === 0 ? c.number(0) : klEstimate(implicitReward(c), "k3").mul(p.beta)),
  aggregate: trajectoryMean,
});
