import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { seqMeanTokenMean, tokenMean } from "../rl/aggregate.ts";
import { zScore } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { levelRatio } from "../rl/ratio.ts";
import { log } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

const BATCH = "token-mean over the batch";

/** Index of the list entry that each token belongs to; a newline belongs to the entry it closes. */
function entryOf(c: Context, newline: number): Vec {
  const given = c.optional("entry");
  if (given) return given;
  const closes = c.field("tokens").eq(newline);
  return closes.cumulate(c.trajectory).sub(closes);
}

export default defineRecipe({
  id: "rank-grpo",
  paper: {
    title: "Rank-GRPO: Training LLM-based Conversational Recommender Systems with Reinforcement Learning",
    source: "github yaochenzhu/Rank-GRPO libs/trl/rank_grpo_trainer.py, libs/reward_funcs.py",
  },
  stage: ["reward", "advantage", "objective", "application"],
  describe: `The unit is the entry of a list (a line), not the token or the answer: each rank has its own reward, baseline over the
group and importance ratio (the geometric mean over the entry's tokens). log_decay credits a rank with the discounted hits
from it downwards, so never with what came before. Entries past rec_num are one entry of their own with a penalty; the end
token is rewarded for ending in time. hits holds one number a rank. Training: a line hits where the prompt file's column
"relevant" lists it, without regard to case; lines and ends are told by the tokenizer, not by newline_id and eos_id.`,
  formula: "r_k = Σ_{j≥k} hit_j/log2(j + 2); A_k = Z_g(r_k); w_k = exp(mean_t (lp − lp_old)); PPO clip + beta·k3",
  params: {
    rec_num: integer(20, "K: entries asked for", { min: 1 }),
    reward: choice("log_decay", ["log_decay", "exp_inf"], "discounted gain from a rank downwards, or its own hit"),
    eps_lo: number(0.06, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.08, "clip range above 1", { min: 0 }),
    beta: number(0.001, "coefficient of the k3 penalty to the reference", { min: 0 }),
    adv_eps: number(1e-4, "added to the standard deviation", { min: 0 }),
    newline_id: integer(10, "token that ends an entry", { min: 0 }),
    eos_id: integer(2, "token that ends the answer", { min: 0 }),
    end_of_list_reward: number(0.1, "advantage of the end token after exactly rec_num entries"),
    extra_token_penalty: number(-0.1, "advantage of a token past the last entry"),
    early_stop_penalty: number(-0.1, "advantage of the end token after too few entries"),
    aggregation: choice(BATCH, [BATCH, "bnpo", "grpo"], "token mean of the batch (bnpo), or of each trajectory (grpo)"),
  },
  fields: { hits: "ragged", entry: "token", ends: "token" },
  advantage: (c, p) => {
    const hits = c.field("hits");
    const ranks = hits.level;
    const rank = c.number(1, ranks).positionOver(c.trajectory);
    const gain = hits.div(
      c.lift(
        ranks,
        rank.values().map((j) => log(j + 2) / log(2)),
      ),
    );
    const reward = p.reward === "exp_inf" ? hits : gain.cumulate(c.trajectory, "backward");
    const peers = c.keyed("rank", ranks, ranks.edge(c.group).index, rank.values());
    const byRank = zScore(reward, peers, { eps: p.adv_eps });

    const item = entryOf(c, p.newline_id);
    const first = c.graph.constant(
      c.trajectory,
      (ranks.edge(c.trajectory).offsets as Int32Array).subarray(0, c.trajectory.size),
    );
    const listed = item.lt(p.rec_num).and(item.lt(hits.countOver(c.trajectory)));
    const end = (c.optional("ends") ?? c.field("tokens").eq(p.eos_id)).ne(0);
    const content = byRank.gather(listed.where(item.add(first.to(c.token)), -1)).mul(end.not());
    const over = item.ge(p.rec_num);
    const entries = item.maxOver(c.trajectory).add(1);
    const inTime = entries.ge(p.rec_num).and(over.maxOver(c.trajectory).not());
    const ended = inTime.where(p.end_of_list_reward, 0).add(entries.lt(p.rec_num).where(p.early_stop_penalty, 0));
    c.output("reward_rank", reward);
    c.output("item", item);
    return content.add(over.mul(p.extra_token_penalty)).add(end.mul(ended));
  },
  ratio: (c, p) => {
    const entry = entryOf(c, p.newline_id).min(p.rec_num).values();
    return levelRatio(c, c.keyed("entry", c.token, c.token.edge(c.trajectory).index, entry), "geometric");
  },
  aggregate: (c, loss, p) => (p.aggregation === "grpo" ? seqMeanTokenMean(c, loss) : tokenMean(c, loss)),
  trains: { supply: { hits: "hits", entry: "line", ends: "last" } },
});
