import { evaluate, type Trainer } from "../train.ts";
import { meanOf } from "./lib/bandit.ts";
import { defineDemo } from "./lib/demo.ts";
import { freezeRollouts } from "./lib/offline.ts";
import { lesson, listTask, summing, sums } from "./lib/sums.ts";
import { trainTiny } from "./lib/transformer.ts";
import { baselineBetween, between, higher, lower } from "./lib/verdict.ts";

const ARMS: Record<string, { recipe: string; params?: Record<string, unknown> }> = {
  // Weight 1 on wrong answers too, however far the policy has left them.
  "naive reinforce": { recipe: "topr", params: { a_neg: 1 } },
  topr: { recipe: "topr" },
  "right ones only": { recipe: "topr", params: { baseline: -1 } },
  "ppo clip": { recipe: "grpo" },
};

const formed = (text: string) => Number(/^[0-9]{2,3}$/.test(text));

/** A list of sums that earn +1 or −1. */
function task(seed: number) {
  const list = listTask(sums(48, seed));
  const [{ fn }] = list.rewards;
  const signed = { name: "signed", weight: 1, fn: async (s: Parameters<typeof fn>[0]) => 2 * ((await fn(s)) ?? 0) - 1 };
  const isRight = (scores: Readonly<Record<string, number>>) => scores.signed === 1;
  // Measured in one pass: pass@1 is success, the reward the share of well-formed texts.
  const measured = [
    { ...signed, weight: 0 },
    { name: "formed", weight: 1, fn: (s: { completion: string }) => formed(s.completion) },
  ];
  return { learned: { ...list, rewards: [signed], isRight }, measured: { ...list, rewards: measured, isRight } };
}

export default defineDemo({
  id: "topr",
  claim:
    "On a fixed data set of an old policy naive REINFORCE rises and collapses, right answers alone stay stable but lower, PPO hardly moves; tapered REINFORCE ends highest, with fewer malformed texts.",
  task: "Transformer of one layer on a list of 48 sums of two digits, right two times in five after supervised steps; 16 samples a sum of that policy, rewards ±1; 120 steps of 16 sums of that data, 40 passes. Measured on fresh samples.",
  baseline: "naive reinforce",
  system: "topr",
  others: ["right ones only", "ppo clip"],
  seeds: 5,
  measures: [
    { name: "fall of success from its peak", claim: [baselineBetween(0.1, 1), lower()] },
    { name: "success after", claim: higher() },
    { name: "success after", against: "right ones only", claim: higher() },
    { name: "success after", against: "ppo clip", claim: higher() },
    { name: "rise of success", against: "ppo clip" },
    { name: "rise of malformed texts", claim: between(Number.NEGATIVE_INFINITY, 0) },
    { name: "share of right samples in the data" },
  ],
  async measure(arm, seed, lab) {
    const { learned, measured } = task(seed);
    const size = { promptPool: 48, rolloutsPerPrompt: 16, steps: 120, warmStart: lesson };
    const curve: { success: number; malformed: number }[] = [];
    const look = async ({ session, config, step }: Trainer) => {
      if (step % 10 !== 0) return;
      const now = await evaluate(session, measured, { ...config, evalPrompts: 48 });
      curve.push({ success: now["pass@1"], malformed: 1 - (now.reward ?? 0) });
    };
    const { metrics } = await trainTiny(
      lab,
      { ...summing, ...size, ...ARMS[arm], seed },
      {
        task: learned,
        async onStart(trainer) {
          await look(trainer);
          await freezeRollouts(trainer);
        },
        onStep: look,
      },
    );
    const [first, last] = [curve[0], curve[curve.length - 1]];
    const right = metrics.map((m) => ((m.reward ?? 0) + 1) / 2);
    return {
      "fall of success from its peak": Math.max(...curve.map((c) => c.success)) - last.success,
      "success after": last.success,
      "rise of success": last.success - first.success,
      "rise of malformed texts": last.malformed - first.malformed,
      "share of right samples in the data": meanOf(right),
    };
  },
});
