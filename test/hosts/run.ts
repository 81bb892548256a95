/** @file The runs that every host must make alike: what they are, and all that is compared of them. Names no host. */
import { parseConfig } from "../../core/config.ts";
import { timeKeys } from "../../core/log.ts";
import type { HostEngine } from "../../hosts/engine.ts";

/** A built-in task and a small new model; six steps, so that a run can be handed over twice. */
const sort = {
  task: { name: "sort", length: 3, shaping: 0.5 },
  model: { config: { hiddenSize: 24, layers: 2, heads: 3, kvHeads: 1, headDim: 8, intermediateSize: 40 } },
  warmStart: { steps: 2, batch: 4, learningRate: 0.003 },
  promptsPerStep: 3,
  rolloutsPerPrompt: 4,
  maxTokens: 5,
  steps: 6,
  learningRate: 0.002,
  params: { beta: 0.1 },
  evalPrompts: 3,
  evalSamples: 2,
  keepCheckpoints: 6,
  seed: 3,
};

/** Two steps on rows over the vocabulary, of the policy and of its reference. */
const { warmStart: _, ...cold } = sort;
const rows = { ...cold, kl: "full", steps: 2, evalPrompts: 0 };

/** Two steps with noise in the hidden states of training passes. */
const { params: __, ...free } = rows;
const noise = { ...free, kl: null, recipe: "alp", params: { sigma_init: 0.02 } };

/** The model of the folder "model" under the app's own prompts and reward. */
const stories = {
  promptsPerStep: 2,
  rolloutsPerPrompt: 4,
  maxTokens: 5,
  steps: 5,
  learningRate: 0.0005,
  evalPrompts: 0,
  seed: 5,
};

const opening = ["Once upon a time", "One day, a little girl", "Tom and his dog", "The sun was"];

export interface Asked {
  run: "sort" | "rows" | "noise" | "stories";
  /** run folder */
  out: string;
  /** model folder of "stories" */
  model?: string;
  /** goes on in `out` */
  resume?: boolean;
  /** steps between checkpoints, which change nothing in the run; default 1 */
  checkpointEvery?: number;
  /** stops when this step is done */
  stopAfter?: number;
}

/** What is done to a run on its way. */
export type Disturb = (step: number) => void;

/** All that must be equal, and what it ran on. */
export interface RunRecord {
  device: string;
  digest: string;
  steps: number;
  metrics: Record<string, unknown>[];
  samples: string;
  evaluations: unknown;
  notes: string[];
}

export async function makeRun(engine: HostEngine, asked: Asked, disturb?: Disturb): Promise<RunRecord> {
  const { run, out, model = "model", resume = false, checkpointEvery = 1, stopAfter } = asked;
  const own = { out, resume, checkpointEvery };
  const config = parseConfig({ ...{ sort, rows, noise, stories: { ...stories, model } }[run], ...own });
  const stop = new AbortController();
  let device = "";
  const notes: string[] = [];
  const result = await engine.train(config, {
    signal: stop.signal,
    onStart(info) {
      device = info.device;
    },
    onStep({ step }) {
      disturb?.(step);
      if (step === stopAfter) stop.abort();
    },
    onNote: (text) => notes.push(text),
    ...(run === "stories" && {
      task: {
        name: "letters",
        prompts: opening.map((prompt) => ({ prompt, wanted: "e" })),
        heldout: [{ prompt: "Lily" }],
        // Of the page where there is one, and a promise: rewards cross to the worker and back.
        rewards: async ({ completion, row }) =>
          [...completion].filter((c) => c === row.wanted).length / (1 + completion.length),
      },
    }),
  });
  const text = async (name: string) => {
    const path = `${out}/${name}`;
    return (await engine.storage.exists(path)) ? new TextDecoder().decode(await engine.storage.read(path)) : "";
  };
  return {
    device,
    digest: result.digest,
    steps: result.steps,
    metrics: (await text("metrics.jsonl"))
      .split("\n")
      .filter(Boolean)
      .map((line) => Object.fromEntries(Object.entries(JSON.parse(line)).filter(([key]) => !timeKeys.includes(key)))),
    samples: await text("samples.jsonl"),
    evaluations: result.eval,
    notes,
  };
}

/** What is left to compare when what it ran on, and what it said of that, is taken off. */
export function bitsOf({ device: _device, notes: _notes, ...bits }: RunRecord): Omit<RunRecord, "device" | "notes"> {
  return bits;
}
