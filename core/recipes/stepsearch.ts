import { anything, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";
import { whiten } from "../rl/baseline.ts";
import { gae, returns, tokenReward } from "../rl/credit.ts";
import { bestF1, normalised, tfidfCosines } from "../rl/retrieval.ts";

const SEARCH = /<search>([\s\S]*?)<\/search>\s*<information>([\s\S]*?)<\/information>/g;
const ANSWER = /<answer>([\s\S]*?)<\/answer>/g;

interface Search {
  query: string;
  documents: string[];
}

const searchesOf = (text: string): Search[] =>
  [...text.matchAll(SEARCH)].map(([, query, found]) => {
    const documents = found.split(/<##[\s\S]*?##>/).slice(1);
    return { query, documents: documents.map((d) => d.trim()) };
  });

/** New information towards the gold documents less the share of documents seen before, of each search. */
function stepScores(searches: readonly Search[], gold: readonly string[]): number[] {
  if (gold.length === 0) return [];
  const seen = new Set<string>();
  const best = gold.map(() => 0);
  const targets = gold.map(normalised);
  return searches.map(({ documents }) => {
    const match = gold.map(() => 0);
    let again = 0;
    for (const document of documents) {
      if (seen.has(document)) again++;
      seen.add(document);
      tfidfCosines(normalised(document), targets).forEach((s, k) => {
        match[k] = Math.max(match[k], s);
      });
    }
    const gain = match.reduce((sum, m, k) => sum + Math.max(0, m - best[k]), 0) / gold.length;
    match.forEach((m, k) => {
      best[k] = Math.max(best[k], m);
    });
    return gain - (documents.length > 0 ? again / documents.length : 0);
  });
}

/** Each query overwrites the score of the group of search keys that it fits best; mean over groups. */
function keyScore(searches: readonly Search[], keys: readonly (readonly string[])[]): number {
  const score = keys.map(() => 0);
  for (const { query } of searches) {
    const fit = keys.map((group) => bestF1(query, group));
    const best = Math.max(0, ...fit);
    if (best > 0) score[fit.indexOf(best)] = best;
  }
  return keys.length > 0 ? score.reduce((a, b) => a + b, 0) / keys.length : 0;
}

/** A rollout's scores; an answer that is missing, or is not the end, costs everything but its own F1. */
function judge(text: string, target: readonly string[], keys: readonly (readonly string[])[], gold: readonly string[]) {
  const last = [...text.matchAll(ANSWER)].pop();
  const f1 = last ? bestF1(last[1].trim(), target) : 0;
  if (!last || text.split("</answer>").pop()?.trim() !== "") return { f1, key: 0, steps: [], bad: true };
  const searches = searchesOf(text);
  return { f1, key: keyScore(searches, keys), steps: stepScores(searches, gold), bad: false };
}

export default defineRecipe({
  id: "stepsearch",
  paper: {
    title: "StepSearch: Igniting LLMs Search Ability via Step-Wise Proximal Policy Optimization",
    arxiv: "2505.15107",
    source: "Zillwang/StepSearch: verl/utils/reward_score/qa_step.py",
  },
  stage: ["reward", "advantage"],
  describe: `PPO for search agents: every search is paid for information towards the gold documents that is new, less the
documents it repeats, and the end for the answer's word F1 and for queries like the gold keys. step_reward (step_scale times
step_scores) belongs on the last token of each query: hand it over as reward_token. Quirk: the released code adds it twice,
so that 1.6 is in effect. GAE where the batch has values, else returns; whitened. No KL in the loss.`,
  formula:
    "step = mean_k max(m_s(k) − b_{s−1}(k), 0) − repeated share; R = F1 + key_weight·key, −1 without a final answer",
  params: {
    key_weight: number(0.618, "weight of the search keys"),
    step_scale: number(0.6, "weight of a search's score (1.6 as run)"),
    kl_coef: number(0.001, "coefficient of the KL to the reference inside the reward", { min: 0 }),
    eps_lo: number(0.2, "clip range below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "clip range above 1", { min: 0 }),
    tfidf: anything("", "in words, the similarity of documents"),
  },
  fields: { solution: "trajectory", target: "raw", search_keys: "raw", gold: "raw" },
  reward: (c, p) => {
    if (!c.hasRaw("solution")) return c.reward;
    const [target, gold] = [c.raw<string[]>("target"), c.raw<string[]>("gold")];
    const keys = c.raw<string[][]>("search_keys");
    const scores = c.raw<string[]>("solution").map((text) => judge(text, target, keys, gold));
    const total = scores.map(({ f1, key, bad }) => (bad ? -1 : f1 + p.key_weight * key));
    const steps = scores.map((score) => score.steps);
    c.output("reward_final", total);
    c.output(
      "answer_f1",
      Array.from(scores, ({ f1 }) => f1),
    );
    c.output(
      "key_score",
      Array.from(scores, ({ key }) => key),
    );
    c.output("step_scores", steps);
    c.output(
      "step_reward",
      Array.from(steps, (row) => row.map((s) => p.step_scale * s)),
    );
    return c.lift(c.trajectory, total);
  },
  advantage: (c, p) => {
    if (c.token.size === 0) return c.number(0, c.trajectory);
    const reward = tokenReward(c, p.kl_coef);
    return whiten(c, c.has("value") ? gae(c, reward, c.value, 1, 1).advantage : returns(c, reward));
  },
  kl: none,
  aggregate: tokenMean,
  trains: { refuse: "needs rollouts with searches and gold documents: supply solution, target, search_keys and gold" },
});
