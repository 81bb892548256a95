/** @file The model of a run, and prompts as its tokens: what every kind of training begins with. */
import type { TrainConfig } from "../config.ts";
import type { DataSource } from "../data/source.ts";
import { alphabetOf, longestOf } from "../data/tokens.ts";
import type { Device } from "../device.ts";
import { CohortError } from "../errors.ts";
import type { Clock, Storage } from "../host.ts";
import type { Numeric } from "../math.ts";
import { modelConfig } from "../model/config.ts";
import { type LoadedModel, loadModel, newModel } from "../model/load.ts";
import { byteTokenizer, type ChatMessage, characterTokenizer, type Tokenizer } from "../model/tokenizer.ts";
import type { Row } from "../rewards/index.ts";
import type { TaskSource } from "../tasks/index.ts";

/** What a host hands to the trainer. */
export interface Runtime {
  device: Device;
  numeric: Numeric;
  storage: Storage;
  clock: Clock;
  /** Threads of the device, for the memory estimate. */
  threads: number;
}

/** Sequences longer than this are refused rather than given an angle table and a cache. */
const MOST_TOKENS = 32768;

/** The model that a configuration names, or a new one of its sizes. */
export async function openModel(
  config: TrainConfig,
  source: TaskSource | DataSource,
  runtime: Runtime,
  options: { scoreHead?: boolean } = {},
): Promise<LoadedModel> {
  const { device, numeric, storage } = runtime;
  const { scoreHead = false } = options;
  const precision = config.precision === "fast" ? 12 : config.precision;
  if (typeof config.model === "string") {
    const loaded = await loadModel(device, numeric, storage, config.model, {
      precision,
      maxTokens: MOST_TOKENS,
      ...(scoreHead && { score: { seed: config.seed } }),
    });
    if (scoreHead || !loaded.model.config.scoreHead) return loaded;
    loaded.model.close();
    throw new CohortError("bad-model", `${config.model}: a reward model, which has no logits`, "give a language model");
  }
  const tokenizer = newTokenizer(config, source);
  const sizes = modelConfig({
    maxPositions: longest(config, source, tokenizer),
    ...config.model.config,
    vocabSize: tokenizer.vocabSize,
    bosId: tokenizer.bosId,
    eosIds: tokenizer.eosIds,
    padId: tokenizer.padId,
    ...(scoreHead && { scoreHead: true }),
  });
  return newModel(device, numeric, sizes, tokenizer, config.seed, { precision });
}

/** The context of a new model: as long as the task needs it, tokens. */
function longest(config: TrainConfig, source: TaskSource | DataSource, tokenizer: Tokenizer): number {
  // One more than the longest example: a score is read behind the last token.
  if ("examples" in source) return longestOf(source, tokenizer) + 1;
  return "maxPromptTokens" in source ? Number(source.maxPromptTokens) + config.maxTokens + 2 : 256;
}

function newTokenizer(config: TrainConfig, source: TaskSource | DataSource): Tokenizer {
  if (typeof config.model === "string" || config.model.tokenizer === "byte") return byteTokenizer();
  const own = "examples" in source ? alphabetOf(source) : "alphabet" in source ? String(source.alphabet) : null;
  const alphabet = config.model.alphabet ?? own;
  if (alphabet === null) {
    throw new CohortError(
      "bad-config",
      "model.alphabet is null, and the task's prompts name no alphabet",
      'give model.alphabet, or model.tokenizer "byte"',
    );
  }
  return characterTokenizer(alphabet);
}

/** Token ids of a row's prompt: text with the tokenizer's begin token, or messages through its chat template. */
export function promptIds(tokenizer: Tokenizer, row: Row): number[] {
  if (typeof row.prompt === "string") return tokenizer.encode(row.prompt);
  return tokenizer.encode(tokenizer.chat(row.prompt as readonly ChatMessage[], { addGenerationPrompt: true }), {
    addSpecial: false,
  });
}

/** A prompt as text, for logs. */
export function promptText(row: Row): string {
  return typeof row.prompt === "string" ? row.prompt : row.prompt.map((m) => `${m.role}: ${m.content}`).join("\n");
}
