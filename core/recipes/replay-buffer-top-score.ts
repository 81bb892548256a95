import { defineRecipe, integer } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { offered, type TopScores } from "../rl/tracker.ts";

const offer = (c: Context, size: number): TopScores =>
  offered(c.state as unknown as TopScores, c.raw<number[]>("score"), size);

export default defineRecipe({
  id: "replay-buffer-top-score",
  paper: {
    title: "TRL GRPO with replay buffer",
    source: "huggingface/trl@f2cd577 trl/experimental/grpo_with_replay_buffer",
  },
  stage: ["sampler"],
  option: true,
  describe: `A buffer of the groups with the highest score, from which groups without a signal are replaced. Scores are
offered one by one; a full buffer gives up its smallest for a larger one, not for a tie. State: entries by number of
offer. TRL's score is Σ|A|·std_g of groups with a deviation.`,
  formula: "keep the `size` largest; sampling_weight = score / Σ score",
  params: { size: integer(64, "entries of the buffer", { min: 1 }) },
  fields: { score: "raw" },
  trains: { supply: { score: "buffer-score" } },
  state: {
    init: () => ({ offered: 0, entries: [] }),
    update: (c, p) => ({ ...offer(c, p.size) }),
  },
  sampler: (c, p) => {
    const { entries } = offer(c, p.size);
    const sum = entries.reduce((a, e) => a + e.score, 0);
    c.output(
      "selected",
      entries.map((e) => e.id),
    );
    c.output(
      "sampling_weight",
      entries.map((e) => (sum === 0 ? 0 : e.score / sum)),
    );
  },
});
