import { anything, defineRecipe, integer, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { sameShape } from "../rl/nested.ts";
import { namedReward } from "../rl/reward.ts";
import { log } from "../rl/scalar.ts";
import { countEntropy, counts, distinct, jaccard } from "../rl/text.ts";

type Words = readonly (number | string)[];

const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / Math.max(1, list.length);
/** Entropy over its largest value for n outcomes; 0 where n ≤ 1. */
const evenness = (items: Words, n: number): number => (n > 1 ? countEntropy(counts(items)) / log(n) : 0);

/** The eight statistics of a text of sentences, and Yule's K (not a term). */
function statistics(sentences: readonly Words[], types: Words, inventory: number, functionWords: Words) {
  const words = sentences.flat();
  const n = words.length;
  const vocabulary = counts(words);
  const lengths = sentences.map((s) => s.length);
  const average = mean(lengths);
  const deviation = Math.sqrt(mean(lengths.map((l) => (l - average) * (l - average))));
  const sets = sentences.map((s) => new Set(s.map((w) => (typeof w === "string" ? w.toLowerCase() : w))));
  const yule = n > 0 ? (1e4 * ([...vocabulary.values()].reduce((sum, k) => sum + k * k, 0) - n)) / (n * n) : 0;
  return {
    lexical: n > 0 ? vocabulary.size / n : 0,
    entropy: evenness(words, vocabulary.size),
    length: average > 0 ? deviation / average : 0,
    pattern: evenness(types, inventory),
    adjacent: mean(sets.slice(1).map((s, k) => 1 - jaccard(sets[k], s))),
    yule: n > 0 ? 1 / (1 + yule) : 0,
    bigram: distinct([words], 2),
    function: evenness(
      words.filter((w) => functionWords.includes(w)),
      functionWords.length,
    ),
    yule_k: yule,
  };
}

export default defineRecipe({
  id: "multirole-r1",
  paper: { title: "Diversity-Enhanced Reasoning for Subjective Questions", arxiv: "2507.20187" },
  stage: ["reward", "pipeline", "application"],
  describe: `GRPO on accuracy plus a small diversity reward, the weighted mean of eight statistics of the text, so that a group of
equal accuracy keeps a signal. delta is read as the share of the accuracy; the authors scale Yule's K in another way than
they print. The supervised stage on chains of several roles is left out.`,
  formula: "R = delta·R_acc + (1 − delta)·Σ_k w_k D_k; A = (R − mean_g)/(std_g + adv_eps)",
  params: {
    delta: number(0.9, "share of the accuracy", { min: 0, max: 1 }),
    weights: anything<Record<string, number> | null>(null, "weight by statistic (null: 1/8 each)"),
    sentence_types: integer(3, "number of sentence types in the inventory", { min: 0 }),
    function_words: anything<Words>([], "the function words, as they stand in sentences"),
    std_ddof: number(1, "divisor n − ddof of the variance", { min: 0, max: 1 }),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
  },
  fields: { sentences: "raw", sentence_type: "raw", "rewards.accuracy": "trajectory" },
  reward: (c, p) => {
    sameShape(c, 2, "sentences", "sentence_type");
    const types = c.raw<number[][]>("sentence_type");
    const all = c
      .raw<Words[][]>("sentences")
      .map((text, i) => statistics(text, types[i], p.sentence_types, p.function_words));
    const names = Object.keys(statistics([], [], 0, [])) as (keyof (typeof all)[number])[];
    const terms = names.filter((name) => name !== "yule_k");
    const diversity = all.map((d) =>
      terms.reduce((sum, k) => sum + (p.weights ? (p.weights[k] ?? 0) : 1 / 8) * d[k], 0),
    );
    c.output("metrics", Object.fromEntries(names.map((name) => [name, all.map((d) => d[name])])));
    c.output("diversity", diversity);
    const accuracy = namedReward(c, "accuracy").mul(p.delta);
    return accuracy.add(c.lift(c.trajectory, diversity).mul(1 - p.delta));
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps, ddof: p.std_ddof }),
  trains: { supply: { sentences: "sentences", sentence_type: "sentence-type", "rewards.accuracy": "right" } },
});
