import { defineRecipe, number } from "../recipe.ts";
import { implicitReward } from "../rl/preference.ts";

export default defineRecipe({
  id: "oorl-gepo",
  paper: {
    title: "On-Policy Optimization with Group Equivalent Preference for Multi-Programming Language Understanding",
    arxiv: "2505.12723",
  },
  stage: ["preference", "objective", "pipeline"],
  describe: `The preference half: within a prompt, the mean implicit reward of functionally equivalent winners against that of
the losers, and a penalty on the winners' variance, so that equivalent answers stay equally likely. The on-policy half is
reinforce-plus-plus; the whole loss is w_rl of that plus w_gepo of this. beta is ours. Fields: win (1 or 0), and seq_logp
with seq_logp_ref, or logp with logp_ref.`,
  formula: "loss = mean_q [−ln σ(beta·(mean_W h − mean_L h)) + lambda_·Var_W(h)], h = Σ_t (lp − lp_ref)",
  params: {
    beta: number(0.1, "temperature of the preference", { min: 0 }),
    lambda_: number(1, "coefficient of the winners' variance", { min: 0 }),
    w_rl: number(1, "weight of the on-policy half in the combination (not applied here)", { min: 0 }),
    w_gepo: number(0.01, "weight of this half in the combination (not applied here)", { min: 0 }),
  },
  fields: { win: "trajectory" },
  loss: (c, p) => {
    const h = c.has("seq_logp") ? c.field("seq_logp").sub(c.field("seq_logp_ref")) : implicitReward(c);
    const win = c.field("win");
    const prompt = c.keyed("prompt", c.trajectory, c.trajectory.edge(c.group).index);
    const margin = h.meanOver(prompt, win).sub(h.meanOver(prompt, win.not())).mul(p.beta);
    const loss = margin
      .logSigmoid()
      .neg()
      .add(h.varOver(prompt, { weight: win }).mul(p.lambda_));
    c.output("loss_per_group", loss);
    return loss.meanOver(c.all);
  },
  trains: { supply: { win: "right" } },
});
