import { anything, choice, defineRecipe, number } from "../recipe.ts";
import { AGGREGATIONS, aggregate } from "../rl/aggregate.ts";
import { centred } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { groupOrder } from "../rl/groups.ts";
import { klPenalty, klToReference } from "../rl/kl.ts";
import { dot } from "../rl/linear.ts";

/** Cosine of two vectors; 0 where one is 0. */
function cosine(a: readonly number[], b: readonly number[]): number {
  const norm = Math.sqrt(dot(a, a) * dot(b, b));
  return norm > 0 ? dot(a, b) / norm : 0;
}

/** What a story of that many words earns for its length. */
function fullness(words: number): number {
  if (words < 500) return 0;
  if (words < 1200) return words / 1200;
  return words <= 1600 ? 1 : Math.max(0, 1 - Math.sqrt((words - 1600) / 1500));
}

function threeRewards(c: Context): { style: number[]; content: number[]; completeness: number[] } {
  const author = c.raw<number[][]>("author_embedding");
  const rank = new Map(groupOrder(c).map((g, k) => [g, k]));
  const group = c.trajectory.edge(c.group).index;
  const ended = c.field("has_end").values();
  const sizes = new Set([...author, ...c.raw<number[][]>("text_embedding")].map((e) => e.length));
  if (author.length !== c.group.size || sizes.size > 1) {
    c.refuse(
      `style-grpo: ${author.length} author_embedding for ${c.group.size} groups, of ${[...sizes].join(", ")} numbers`,
      "give one a group, of the size that text_embedding has",
    );
  }
  return {
    style: c.raw<number[][]>("text_embedding").map((e, i) => cosine(e, author[rank.get(group[i]) as number])),
    content: Array.from(c.field("judge_digit").values(), (digit) => digit / 10),
    completeness: Array.from(c.field("word_count").values(), (n, i) => (ended[i] !== 0 ? fullness(n) : 0)),
  };
}

export default defineRecipe({
  id: "style-grpo",
  paper: {
    title: "Capturing Classic Authorial Style in Long-Form Story Generation with GRPO Fine-Tuning",
    arxiv: "2512.05747",
    source: "github Vince-Liuss/literary_style_model Train/Multi_GRPOTrainer.py",
  },
  stage: ["application", "reward"],
  describe: `Long stories in an author's style: closeness to the author in an embedding, a judge's digit, and a reward for length
and a proper end. Advantages are centred without a deviation, the loss is a token mean with a k3 penalty. Embedding model,
judge and the first version's sigmoid are left out; without embeddings the batch's reward counts. Training: embeddings are
counts of three characters in a row, the author's text is the column "author", the judge the reward of that name.`,
  formula: "R = w·[cos(e, e_author), digit/10, complete]; A = R − μ_g; loss = Σ m(ℓ + beta·k3) / Σ m",
  params: {
    weights: anything<readonly number[]>([0.6, 0.3, 0.1], "weights of style, content and completeness"),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    beta: number(0.1, "coefficient of the k3 penalty to the reference", { min: 0 }),
    scale: choice("none", ["none"], "rewards are not divided by a deviation"),
    agg: choice("token-mean", AGGREGATIONS, "from token losses to the loss"),
  },
  fields: {
    text_embedding: "raw",
    author_embedding: "raw",
    judge_digit: "trajectory",
    word_count: "trajectory",
    has_end: "trajectory",
  },
  reward: (c, p) => {
    if (!c.hasRaw("text_embedding")) return c.reward;
    const rewards = threeRewards(c);
    c.output("rewards", rewards);
    const [style, content, complete] = p.weights;
    const { completeness } = rewards;
    return c.lift(
      c.trajectory,
      rewards.style.map((s, i) => style * s + content * rewards.content[i] + complete * completeness[i]),
    );
  },
  advantage: (c) => centred(c.reward, c.group),
  kl: (c, p) => (p.beta === 0 ? c.number(0) : klPenalty(c, klToReference(c, "k3"), p.beta)),
  aggregate: (c, loss, p) => aggregate(c, loss, p.agg),
  trains: {
    supply: {
      text_embedding: "text-embedding",
      author_embedding: "author-embedding",
      judge_digit: "judge-digit",
      word_count: "word-count",
      has_end: "the-end",
    },
  },
});
