import { defineRecipe, integer, number } from "../recipe.ts";

const SCORE = /<score>([\s\S]*?)<\/score>/;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** The number inside the first score tags; 0 where there is none. */
function scoreOf(text: string): number {
  const inside = SCORE.exec(text)?.[1].trim() ?? "";
  const value = DECIMAL.test(inside) ? Number(inside) : 0;
  return value - value === 0 ? value : 0;
}

export default defineRecipe({
  id: "mpo-meta",
  paper: {
    title: "Toward Evaluative Thinking: Meta Policy Optimization with Evolving Reward Models",
    source: "github minnesotanlp/mpo trl/trainer/mpo_trainer.py, trl/extras/mpo",
  },
  stage: ["pipeline", "reward"],
  describe: `The reward is the sum of a judge's scores over a rubric's items, and every num_mpo_interval updates a stronger judge
rewrites the rubric from sampled rollouts. Here: the scores from the judge's texts (evaluation_text: one list of answers a
trajectory) and the updates at which a refinement is due. PPO itself is ppo-clip with ppo-gae; the two judges are callers'.
A merged rubric without items must be rejected. The released code also reads arithmetic between the tags: left out.`,
  formula: "R_i = Σ_items number inside the first <score>…</score>; refine at u > 0, u mod num_mpo_interval = 0",
  params: {
    num_mpo_interval: integer(10, "updates between refinements", { min: 1 }),
    num_mpo_samples: integer(20, "rollouts that the meta judge looks at (the caller's)", { min: 1 }),
    kl_coef: number(0.05, "token KL penalty of the PPO step (the trainer's)", { min: 0 }),
    cliprange: number(0.2, "clip range of the PPO step (the trainer's)", { min: 0 }),
    vf_coef: number(0.1, "value loss of the PPO step (the trainer's)", { min: 0 }),
    lam: number(0.95, "trace decay of the PPO step (the trainer's)", { min: 0, max: 1 }),
    num_ppo_epochs: integer(4, "epochs of the PPO step (the trainer's)", { min: 1 }),
    judge_temperature: number(0.02, "sampling temperature of both judges (the caller's)", { min: 0 }),
  },
  fields: { evaluation_text: "raw", updates: "raw" },
  outputs: (c, p) => {
    const updates = c.hasRaw("updates") ? c.raw<number>("updates") : 0;
    if (!(Math.floor(updates) === updates && updates >= 0)) {
      c.refuse(`mpo-meta: 'updates' is ${JSON.stringify(updates)}`, "give the number of updates that ran");
    }
    const due = Math.max(0, Math.ceil(updates / p.num_mpo_interval) - 1);
    return {
      reward_shaped: c
        .raw<string[][]>("evaluation_text")
        .map((items) => items.reduce((r, text) => r + scoreOf(text), 0)),
      refine_at: Array.from({ length: due }, (_, k) => (k + 1) * p.num_mpo_interval),
    };
  },
  trains: { refuse: "needs the answers of a judge to each item of its rubric: supply them as evaluation_text" },
});
