import { choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggLoss } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "ppo-value-loss",
  paper: {
    title: "Proximal Policy Optimization Algorithms",
    source:
      "verl-project/verl@1dda039 verl/trainer/ppo/core_algos.py (compute_value_loss); OpenRLHF/OpenRLHF@3c3be62 loss.py",
  },
  stage: ["objective"],
  describe: `The critic's side of PPO: squared error to the return, the larger of that of the prediction and of the
prediction clipped around the old one. Differentiated by value; 0 through an active clamp.`,
  formula: "v' = clamp(v, v_old ± clip); loss = ½ agg(max((v − ret)², (v' − ret)²))",
  params: {
    clip: number(0.5, "largest move of the prediction", { min: 0 }),
    agg: choice("token-mean", AGGREGATIONS, "how token losses become one number"),
  },
  trains: { supply: { value: "value", value_old: "value", return: "outcome-return" } },
  option: true,
  aux: (c, p) => {
    const old = c.field("value_old");
    const clipped = c.value.clamp(old.sub(p.clip), old.add(p.clip));
    const error = c.value.sub(c.field("return")).square();
    const pessimistic = clipped.sub(c.field("return")).square();
    c.output("clip_fraction", c.meanTrained(pessimistic.stop().gt(error.stop())));
    return aggLoss(c, error.max(pessimistic), p.agg).div(2);
  },
});
