import { defineRecipe, number } from "../recipe.ts";
import { zScore } from "../rl/baseline.ts";

/** The final part of a response, to its end: where the answer is looked for. */
function finalPart(text: string): string {
  const marked = text.lastIndexOf("###");
  if (marked >= 0) return text.slice(marked);
  for (let at = text.lastIndexOf("\n\n"); at >= 0; at = at === 0 ? -1 : text.lastIndexOf("\n\n", at - 1)) {
    if (text[at - 1] !== ":") return text.slice(at);
  }
  const lower = text.toLowerCase();
  const said = Math.max(lower.lastIndexOf("therefore"), lower.lastIndexOf("conclusion"));
  return said >= 0 ? text.slice(said) : text;
}

export default defineRecipe({
  id: "game-rl",
  paper: {
    title: "Game-RL: Synthesizing Multimodal Verifiable Game Data to Boost VLMs' General Reasoning",
    arxiv: "2505.13886",
    source: "github tongjingqi/Code2Logic ms-swift plugin.py",
  },
  stage: ["application", "reward"],
  describe: `Plain GRPO on questions that game code generates with their answers. A judge compares the final part of the
response with the answer; where it could not be reached (null) the answer must stand in that part, letter case aside.
Without text the reward of the rollouts is the verdict. Pictures and the frozen vision tower are left out: boards are text.`,
  formula: "R = judge's verdict, or [answer in final part]; A = (R − mean_g)/(std_g + std_eps)",
  params: { std_eps: number(1e-4, "added to the group's deviation", { min: 0 }) },
  fields: { text: "raw", solution: "raw", judge: "raw" },
  reward: (c) => {
    if (!c.hasRaw("text")) return c.reward;
    const spans = c.raw<string[]>("text").map(finalPart);
    const solutions = c.raw<string[]>("solution");
    const verdicts = c.hasRaw("judge") ? c.raw<(boolean | null)[]>("judge") : [];
    const right = spans.map((span, i) => {
      const verdict = verdicts[i] ?? null;
      return verdict === null ? span.toLowerCase().includes(solutions[i].trim().toLowerCase()) : verdict;
    });
    c.output("answer_span", spans);
    c.output("reward", c.flags(c.trajectory, right));
    return c.flags(c.trajectory, right);
  },
  advantage: (c, p) => zScore(c.reward, c.group, { eps: p.std_eps }),
});
