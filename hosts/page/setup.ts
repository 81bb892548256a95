/** @file What the person has set: kept across reloads, and turned into a configuration. */
import { configKeys, parseConfig, type TrainConfig } from "../../core/config.ts";
import { CohortError } from "../../core/errors.ts";
import { parsePrompts } from "../../core/prompts.ts";
import type { Row } from "../../core/rewards/index.ts";
import { loadTask } from "../../core/tasks/index.ts";
import { Store } from "./store.ts";

export interface Setup {
  /** "new", or the name of a stored model */
  model: string;
  size: keyof typeof sizes;
  /** a built-in task's name, or "own" */
  task: string;
  /** how hard a built-in task is; null: its own default */
  hardness: number | null;
  prompts: string;
  reward: string;
  /** reward from which a completion counts as right in pass@k */
  passAt: number;
  recipe: string;
  /** recipe → the parameters that were changed */
  params: Record<string, Record<string, unknown>>;
  /** configuration keys that were changed */
  keys: Record<string, number | string>;
  /** further keys, JSON */
  more: string;
}

/** New models, smallest first. */
export const sizes = {
  tiny: { hiddenSize: 32, layers: 2, heads: 4, kvHeads: 2, intermediateSize: 64 },
  small: { hiddenSize: 64, layers: 2, heads: 4, kvHeads: 2, intermediateSize: 128 },
  medium: { hiddenSize: 128, layers: 4, heads: 8, kvHeads: 4, intermediateSize: 256 },
} as const;

/** The parameter that makes a built-in task harder. */
export const hardness: Readonly<Record<string, { key: string; easy: number; min: number; max: number }>> = {
  sort: { key: "length", easy: 4, min: 2, max: 8 },
  reverse: { key: "length", easy: 3, min: 2, max: 8 },
  addition: { key: "digits", easy: 1, min: 1, max: 4 },
  countdown: { key: "numbers", easy: 2, min: 2, max: 4 },
};

export const examplePrompts = `Once upon a time, there was a little girl named Lily.
One day, Tom and his dog went to the park.
The sun was bright and the birds
There was a small cat who liked to
Mia and Ben found a big box.
In the forest lived a kind bear.
Sam wanted to play with his red ball.
It was raining, so the children`;

export const exampleReward = `// Scores one completion: higher is better, null leaves it out.
// It sees { prompt, completion, completionIds, row }.
export default ({ completion }) => {
  const words = completion.toLowerCase().match(/[a-z]+/g) ?? [];
  const wanted = words.filter((word) => ["she", "her", "girl"].includes(word));
  return Math.min(1, wanted.length / 3);
};
`;

const initial: Setup = {
  model: "new",
  size: "small",
  task: "sort",
  hardness: null,
  prompts: examplePrompts,
  reward: exampleReward,
  passAt: 0.6,
  recipe: "grpo",
  params: {},
  keys: {},
  more: "",
};

const KEY = "cohort-setup";

function remembered(): Setup {
  try {
    return { ...initial, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Setup>) };
  } catch {
    // No storage for this page, or not ours: the first setup.
    return { ...initial };
  }
}

export const setup = new Store<Setup>(remembered());
setup.watch((value) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(value));
  } catch {
    // It is only not remembered.
  }
});

/** The keys that have a field, in its order. */
export const shownKeys = [
  "steps",
  "promptsPerStep",
  "rolloutsPerPrompt",
  "maxTokens",
  "learningRate",
  "temperature",
  "seed",
  "evalEvery",
  "checkpointEvery",
  "backend",
  "precision",
] as const;

const docs = new Map(configKeys().map(({ path, doc }) => [path, doc]));
export const docOf = (key: string): string => docs.get(key) ?? "";

/** What a key is where nothing was changed: enough for the first run to learn in minutes. */
export function defaultsOf(s: Setup): Record<string, unknown> {
  const common = { temperature: 1, seed: 0, checkpointEvery: 5, backend: "auto", precision: 12 };
  if (s.task !== "own") {
    const stored = s.model !== "new";
    return {
      ...common,
      steps: 100,
      promptsPerStep: 16,
      rolloutsPerPrompt: 16,
      maxTokens: loadTask(taskOf(s)).maxCompletionTokens + (stored ? 8 : 1),
      learningRate: stored ? 2e-4 : 1e-3,
      evalEvery: 20,
      evalPrompts: 64,
      evalSamples: 4,
      ...(!stored && { warmStart: { steps: 60, batch: 64, learningRate: 0.003 } }),
      optimizer: { schedule: "linear" },
    };
  }
  return {
    ...common,
    steps: 30,
    promptsPerStep: 8,
    rolloutsPerPrompt: 8,
    maxTokens: 32,
    learningRate: s.model === "new" ? 3e-3 : 2e-4,
    evalEvery: 10,
    evalPrompts: 8,
    evalSamples: 4,
  };
}

/** A built-in task with its hardness. */
export function taskOf(s: Setup): { name: string; [parameter: string]: unknown } {
  const rule = hardness[s.task];
  return { name: s.task, ...(rule && { [rule.key]: s.hardness ?? rule.easy }) };
}

/** The prompts that were pasted: JSON lines where the first line begins with "{", else a prompt a line. */
export function rowsOf(text: string): Row[] {
  if (text.trimStart().startsWith("{")) return parsePrompts(text);
  const rows = text.split("\n").flatMap((line) => (line.trim() === "" ? [] : [{ prompt: line.replace(/\r$/, "") }]));
  if (rows.length === 0) throw new CohortError("bad-input", "prompts: there are none", "write one a line");
  return rows;
}

export const modelFolder = (name: string): string => `models/${name}`;

/**
 * The configuration of a run with this setup.
 * @throws CohortError naming everything that is wrong
 */
export function configOf(s: Setup, recipe = s.recipe): TrainConfig {
  let more: unknown = {};
  if (s.more.trim() !== "") {
    try {
      more = JSON.parse(s.more);
    } catch (cause) {
      throw new CohortError(
        "bad-config",
        `further keys: not JSON: ${(cause as Error).message}`,
        'write {"key": value}',
      );
    }
  }
  const own = s.task === "own";
  return parseConfig(
    {
      model:
        s.model === "new" ? { config: sizes[s.size], tokenizer: own ? "byte" : "character" } : modelFolder(s.model),
      task: own ? { prompts: "prompts.jsonl", reward: "prompts.mjs", passAt: s.passAt } : taskOf(s),
      recipe,
      params: s.params[recipe] ?? {},
      ...defaultsOf(s),
      ...s.keys,
      ...(more as object),
    },
    { where: "settings" },
  );
}
