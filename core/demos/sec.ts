import type { Row } from "../rewards/index.ts";
import type { Stream } from "../rng.ts";
import type { TaskSource } from "../tasks/index.ts";
import { evaluate, type Trainer } from "../train.ts";
import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { draws } from "./lib/tabular.ts";
import { average, sorting, trainTiny } from "./lib/transformer.ts";
import { between, higher, lower } from "./lib/verdict.ts";

const [LEVELS, STEPS, PROMPTS] = [4, 60, 16];

/**
 * Sorting digits: "352>" wants "235". Level c has c + 2 digits, all of which have to be right: what an easy level teaches
 * serves the harder ones. Level 4 is never trained on.
 *
 * @param level of the k-th training prompt; examples, drawn under another seed, are of all levels in turn
 */
function task(own: number, level: (k: number) => number, tested = LEVELS): TaskSource & { alphabet: string } {
  const problem = (random: Stream, category: number): Row => {
    const digits = Array.from({ length: category + 2 }, () => random.pick("0123456789"));
    return { prompt: `${digits.join("")}>`, want: [...digits].sort().join(""), category };
  };
  return {
    name: "levels",
    alphabet: "0123456789>\n",
    stopCharacter: "\n",
    rewards: [
      { name: "correct", weight: 1, fn: (s) => Number(s.completion === s.row.want) },
      { name: "level", weight: 0, fn: (s) => Number(s.row.category) },
    ],
    isRight: (scores) => scores.correct === 1,
    prompts: (split, n, seed, start = 0) =>
      Array.from({ length: n }, (_, k) =>
        split === "train"
          ? problem(draws(seed, start + k, 3), seed === own ? level(start + k) : (start + k) % (LEVELS + 1))
          : problem(draws(seed, start + k, 4), tested),
      ),
    supervised: (row) => String(row.want),
  };
}

/** Each phase of a schedule has a quarter of the steps. */
const phase = (k: number) => Math.min(LEVELS - 1, Math.floor((LEVELS * k) / (STEPS * PROMPTS)));
const mixed = (k: number) => k % LEVELS;
const ARMS: Record<string, { level(k: number): number; keys: Record<string, unknown> }> = {
  // The same objective throughout: without a pool of categories sec is GRPO, at a high temperature it draws uniformly.
  uniform: { level: mixed, keys: { recipe: "sec", params: { tau: 1e9 } } },
  sec: { level: mixed, keys: { recipe: "sec" } },
  "easy to hard": { level: phase, keys: { recipe: "grpo" } },
  "hard to easy": { level: (k) => LEVELS - 1 - phase(k), keys: { recipe: "grpo" } },
};

export default defineDemo({
  id: "sec",
  claim:
    "A bandit over difficulty levels moves from easy to hard by itself and beats uniform draws on a harder held-out level; hard-to-easy stalls.",
  task: "Transformer of one layer sorting 2 to 5 digits, four levels, after 200 supervised steps on all of them and on the held-out one, 6 digits. 60 steps of 16 prompts × 8 rollouts, tau 1, the same objective in all arms.",
  baseline: "uniform",
  system: "sec",
  others: ["easy to hard", "hard to easy"],
  seeds: 5,
  measures: [
    { name: "rise of the mean level drawn, first to last sixth", claim: between(0.1, Number.POSITIVE_INFINITY) },
    { name: "held-out success after", claim: higher() },
    { name: "held-out success, mean over the run", claim: higher() },
    { name: "held-out success after", against: "easy to hard" },
    { name: "held-out success, mean over the run", of: "hard to easy", claim: lower() },
    { name: "rise of held-out success" },
    { name: "success on the hardest trained level after" },
  ],
  async measure(arm, seed, lab) {
    const { level, keys } = ARMS[arm];
    // Schedules draw ever new prompts; so many prompts come back once or twice.
    const pool = keys.recipe === "sec" ? { promptPool: 640 } : {};
    const size = { promptsPerStep: PROMPTS, steps: STEPS, maxTokens: LEVELS + 3, evalPrompts: 0 };
    const curve: number[] = [];
    let hardest = Number.NaN;
    const own = task(seed, level);
    const look = async ({ session, config, step }: Trainer) => {
      if (step % 15 !== 0) return;
      curve.push((await evaluate(session, own, { ...config, evalPrompts: 128 }))["pass@1"]);
      if (step === 0) return;
      hardest = (await evaluate(session, task(seed, level, LEVELS - 1), { ...config, evalPrompts: 128 }))["pass@1"];
    };
    const { metrics } = await trainTiny(
      lab,
      { ...sorting, ...size, ...keys, ...pool, seed },
      { task: own, onStart: look, onStep: look },
    );
    const last = curve[curve.length - 1];
    return {
      "rise of the mean level drawn, first to last sixth":
        average(metrics, "rewards/level/mean", 10) - average(metrics.slice(0, 10), "rewards/level/mean"),
      "held-out success after": last,
      "held-out success, mean over the run": meanOf(curve),
      "rise of held-out success": last - curve[0],
      "success on the hardest trained level after": hardest,
    };
  },
});
