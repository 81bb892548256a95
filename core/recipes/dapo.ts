import { defineRecipe, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { ppoClip } from "../rl/gate.ts";

export default defineRecipe({
  id: "dapo",
  paper: { title: "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arxiv: "2503.14476" },
  stage: ["advantage", "objective"],
  describe: `A wider clip above than below, so that rare tokens can grow; every token of the whole optimiser step weighs
the same, whatever its trajectory's length. As in the paper nothing holds the policy to a reference: beta is 0 by default.
This is the objective alone; the paper's other parts are the options dynamic-sampling, overlong-soft-punishment and, where
it masks truncated answers, overlong-filter. All of DAPO but the drawing of prompts in place of dropped ones:
\`{"recipe":"dapo","filter":["dynamic-sampling"],"options":["overlong-soft-punishment"],"params":{"max_len":20480,"buffer":4096},"maxTokens":20480}\`
(the paper's lengths; max_len is your maxTokens).`,
  formula: "loss = Σ_{i,t} m·[−min(ρA, clip(ρ, 1−eps_lo, 1+eps_hi)A)] / Σ_{i,t} m over the optimiser step",
  params: {
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.28, "clip range above 1", { min: 0 }),
  },
  gate: (c, ratio, p) => ppoClip(c, ratio, c.advantage, { lo: p.eps_lo, hi: p.eps_hi }),
  aggregate: tokenMean,
});
