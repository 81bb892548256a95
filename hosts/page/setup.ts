/** @file What the person has set: kept across reloads, and turned into a configuration. */
import { configKeys, parseConfig, type TrainConfig } from "../../core/config.ts";
import { CohortError } from "../../core/errors.ts";
import { parsePrompts } from "../../core/prompts.ts";
import type { Row } from "../../core/rewards/index.ts";
import { loadTask } from "../../core/tasks/index.ts";
import { entryOf } from "./recipes.ts";
import { Store } from "./store.ts";

export interface Setup {
  /** "new", or the name of a stored model */
  model: string;
  size: keyof typeof sizes;
  /** a built-in task's name, "own" for own prompts, or "data" for a data set */
  task: string;
  /** how hard a built-in task is; null: its own default */
  hardness: number | null;
  prompts: string;
  reward: string;
  /** reward from which a completion counts as right in pass@k */
  passAt: number;
  /** "sample", "pasted", or the name of a file that is kept */
  data: string;
  /** the lines that were pasted */
  lines: string;
  recipe: string;
  /** folder of the model that a recipe of distillation learns from; "" where none is chosen */
  teacher: string;
  /** what was chosen before a data set took the place of prompts, or the other way round */
  other: { task: string; recipe: string };
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
  data: "sample",
  lines: "",
  recipe: "grpo",
  teacher: "",
  other: { task: "data", recipe: "dpo" },
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
  const remember = (what: Setup) => localStorage.setItem(KEY, JSON.stringify(what));
  try {
    remember(value);
  } catch {
    try {
      // Pasted lines may be more than the browser keeps here.
      remember({ ...value, lines: "" });
    } catch {
      // It is only not remembered.
    }
  }
});

/** What changes with a recipe: one that learns from a data set takes the place of prompts and a reward, or gives it back. */
export function withRecipe(s: Setup, recipe: string): Partial<Setup> {
  const entry = entryOf(recipe);
  const left = { task: s.task, recipe: s.recipe };
  if (entry && s.task === "data" && !entry.data) {
    return { recipe, task: s.other.task === "data" ? initial.task : s.other.task, other: left };
  }
  if (entry && s.task !== "data" && !entry.rollouts) return { recipe, task: "data", other: left };
  return { recipe };
}

/** What changes with a task: a data set wants a recipe that learns from one. */
export function withTask(s: Setup, task: string): Partial<Setup> {
  const fits = (id: string) => (task === "data" ? entryOf(id)?.data !== undefined : (entryOf(id)?.rollouts ?? true));
  const change = { task, hardness: null };
  if (fits(s.recipe)) return change;
  const recipe = [s.other.recipe, "dpo", "grpo"].find(fits)!;
  return { ...change, recipe, other: { task: s.task, recipe: s.recipe } };
}

/** Whether the recipe that is chosen lets the policy answer: what samples is then asked for. */
export const samples = (s: Setup): boolean => s.task !== "data" || entryOf(s.recipe)?.sampled !== undefined;

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
  if (s.task === "data") {
    return {
      ...common,
      steps: 100,
      promptsPerStep: 32,
      ...(samples(s) && { maxTokens: 16 }),
      // A new model learns demonstrations from nothing; preferences move weights that a reference holds.
      learningRate: s.model !== "new" ? 5e-5 : entryOf(s.recipe)?.data === "completions" ? 3e-3 : 1e-3,
      evalEvery: 10,
      evalPrompts: 64,
      optimizer: { schedule: "linear" },
    };
  }
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

/** The file that holds the examples, in messages and beside the run. */
export const dataName = ({ data }: Setup): string => (/^(sample|pasted)$/.test(data) ? `${data}.jsonl` : data);

export const modelFolder = (name: string): string => `models/${name}`;

/** The changed keys that mean something with this task. */
function keysOf(s: Setup): Record<string, number | string> {
  if (samples(s)) return s.keys;
  const { rolloutsPerPrompt: _, maxTokens: __, temperature: ___, ...keys } = s.keys;
  return keys;
}

/**
 * The configuration of a run with this setup.
 * @throws CohortError naming everything that is wrong
 */
export function configOf(given: Setup, recipe = given.recipe): TrainConfig {
  const s = { ...given, recipe };
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
  const task = s.task === "data" ? { data: dataName(s) } : taskOf(s);
  return parseConfig(
    {
      model:
        s.model === "new" ? { config: sizes[s.size], tokenizer: own ? "byte" : "character" } : modelFolder(s.model),
      task: own ? { prompts: "prompts.jsonl", reward: "prompts.mjs", passAt: s.passAt } : task,
      recipe,
      params: s.params[recipe] ?? {},
      ...(entryOf(recipe)?.teacher && s.teacher !== "" && { reference: s.teacher }),
      ...defaultsOf(s),
      ...keysOf(s),
      ...(more as object),
    },
    { where: "settings" },
  );
}
