import { anything, choice, defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";
import { members } from "../rl/groups.ts";
import { editDistance, type Item } from "../rl/text.ts";

/** Mean of precision and recall of the found keywords; an empty denominator counts 0. */
function keywordScore(found: readonly Item[], want: readonly Item[]): number {
  const [a, b] = [new Set(found), new Set(want)];
  const both = [...a].filter((x) => b.has(x)).length;
  return ((a.size > 0 ? both / a.size : 0) + (b.size > 0 ? both / b.size : 0)) / 2;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = (sorted.length - 1) / 2;
  return (sorted[Math.floor(half)] + sorted[Math.ceil(half)]) / 2;
}

export default defineRecipe({
  id: "asr-tts-rl",
  paper: { title: "Explore the Reinforcement Learning for the LLM based ASR and TTS system", arxiv: "2509.18569" },
  stage: ["reward", "filter", "objective", "application"],
  describe: `GRPO for speech with rule rewards. Recognition: 1 − error rate, −1 for a hallucination, keywords. Synthesis:
accuracy of the recognised audio and closeness to the group's median duration; beside GRPO a differentiable reward loss,
added on rollouts of positive advantage alone (its gradient flows through soft tokens, outside of this step).
Reconstruction from notes; the synthesis reward's diversity and pitch, and the choice of data, are left out.`,
  formula:
    "R_asr = 1 − WER − [hallucination] + keywords; R_tts = 1 − WER − |T − median|/median; A = (R − mean_g)/(std_g + adv_eps); + w_diff·mean_{A_tts>0} diff_loss",
  params: {
    speech: choice("tts", ["tts", "asr"], "which reward the loss trains on"),
    w_diff: number(1, "weight of the differentiable reward loss (assumed)", { min: 0 }),
    beta: number(0.1, "coefficient of the k3 penalty to the reference", { min: 0 }),
    adv_eps: number(1e-4, "added to the group's standard deviation", { min: 0 }),
    note: anything("", "free text of a case"),
  },
  fields: {
    ref_tokens: "raw",
    keywords: "raw",
    hyp_tokens: "raw",
    hyp_keywords: "raw",
    hallucination: "trajectory",
    n_speech_tokens: "trajectory",
    diff_loss: "trajectory",
  },
  trains: {
    refuse:
      "needs recognised speech: supply ref_tokens, hyp_tokens, keywords, hyp_keywords, n_speech_tokens, diff_loss",
  },
  reward: (c, p) => {
    const group = c.trajectory.edge(c.group).index;
    const [want, keywords] = [c.raw<Item[][]>("ref_tokens"), c.raw<Item[][]>("keywords")];
    const speech = c.field("n_speech_tokens");
    const middle = members(c).map((rows) => median(rows.map((i) => speech.values()[i])));
    const accuracy = c.raw<Item[][]>("hyp_tokens").map((got, i) => {
      const reference = want[group[i]];
      return reference.length > 0 ? 1 - editDistance(reference, got) / reference.length : 1;
    });
    const acc = c.lift(c.trajectory, accuracy);
    const found = c.raw<Item[][]>("hyp_keywords").map((words, i) => keywordScore(words, keywords[group[i]]));
    const keyword = c.lift(c.trajectory, found);
    const typical = c.lift(c.group, middle);
    const duration = speech.sub(typical).div(typical).abs().neg();
    const asr = acc.sub(c.field("hallucination")).add(keyword);
    const tts = acc.add(duration);
    const advantage = zScore(tts, c.group, { eps: p.adv_eps });
    const keep = advantage.gt(0);
    c.output("acc_reward", acc);
    c.output("keyword_reward", keyword);
    c.output("duration_reward", duration);
    c.output("reward_asr", asr);
    c.output("advantage_asr", zScore(asr, c.group, { eps: p.adv_eps }));
    c.output("reward_tts", tts);
    c.output("advantage_tts", advantage);
    c.outputFlags("keep", keep);
    const diffro = c.field("diff_loss").meanOver(c.all, keep).mul(p.w_diff);
    c.output("diffro_loss", diffro);
    c.carry("diffro_loss", diffro);
    return p.speech === "tts" ? tts : asr;
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.adv_eps }),
  aux: (c, p) => (p.speech === "tts" ? c.field("diffro_loss") : c.number(0)),
});
