/**
 * @file Prompts → completions: batched decoding over a KV cache.
 *
 * A prompt is computed once for its whole group; all live sequences go through a pass together; finished ones leave.
 * None of it changes a bit: a token is a function of its own sequence and its own random number, which is keyed by
 * (seed, stream, step, prompt, rollout, token) and not by order (docs: exactness, rules 3 and 7).
 */
import { CohortError } from "./errors.ts";
import { isRecord, number, shown } from "./given.ts";
import type { Transformer } from "./model/transformer.ts";
import { Stream } from "./rng.ts";

export interface SamplingOptions {
  /** Longest completion, tokens. */
  maxTokens: number;
  /** 0: greedy. */
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  /** Every id that ends a completion. */
  stopIds: readonly number[];
}

/** Where the random numbers of a rollout come from. */
export interface RandomKey {
  seed: number;
  /** One of `streams` (core/rng.ts). */
  stream: number;
  step: number;
}

export interface Completion {
  /** Index of the prompt. */
  prompt: number;
  /** Generated ids, the stop id among them. */
  ids: number[];
  /** Log-probability of each, nats, at the sampling temperature and over the whole vocabulary. */
  logp: Float32Array;
  /** Entropy of the distribution each was drawn from, nats. */
  entropy: Float32Array;
  finish: "stop" | "length";
}

/** Cache rows of n tokens: each sequence begins a block of eight, as the WASM backend likes to read keys. */
const blocks = (n: number): number => Math.ceil(n / 8) * 8;

/** Cache memory in use at a time; more sequences than fit go in waves. */
const CACHE_BYTES = 256 * 2 ** 20;
/** Prompt tokens of one prefill pass. */
const PREFILL_TOKENS = 4096;

/**
 * `perPrompt` completions of each prompt (a list: of prompt p, perPrompt[p]), ordered by prompt.
 * @param prompts token ids, at least one each
 * @throws CohortError where a prompt is empty or leaves no room in the context, and for options out of range or missing
 */
export async function generate(
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  perPrompt: number | readonly number[],
  options: SamplingOptions,
  random: RandomKey,
): Promise<Completion[]> {
  checkOptions(options, random);
  const counts = checkedCounts(prompts, perPrompt);
  prompts.forEach((ids, i) => {
    checkPrompt(ids, i, model);
  });
  const { kvHeads, headDim, layers } = model.config;
  // Keys and values, and the second form of both that the WASM backend keeps.
  const rowBytes = layers * kvHeads * headDim * 16;
  const out: Completion[] = [];
  for (let first = 0; first < prompts.length; ) {
    let rows = 0;
    let last = first;
    while (last < prompts.length) {
      const more = prompts[last].length + counts[last] * options.maxTokens;
      if (last > first && (rows + more) * rowBytes > CACHE_BYTES) break;
      rows += more;
      last++;
    }
    out.push(...(await wave(model, prompts, first, last, counts, options, random)));
    first = last;
  }
  return out;
}

function checkOptions(options: SamplingOptions, random: RandomKey): void {
  if (!isRecord(options)) {
    const remedy = "give { maxTokens, temperature, topK, topP, minP }";
    throw new CohortError("bad-input", `sample: the options are ${shown(options)}`, remedy);
  }
  number("sample", "maxTokens", options.maxTokens, { least: 1, whole: true });
  number("sample", "temperature", options.temperature, { least: 0, most: 100 });
  number("sample", "topK", options.topK, { least: 0, whole: true });
  number("sample", "topP", options.topP, { least: 1e-6, most: 1 });
  number("sample", "minP", options.minP, { least: 0, most: 1 });
  if (!isRecord(random)) {
    const remedy = "give { seed, stream, step }: every random number follows from it";
    throw new CohortError("bad-input", `sample: the key is ${shown(random)}`, remedy);
  }
  for (const name of ["seed", "stream", "step"] as const) {
    number("sample", `${name} of the key`, random[name], { least: 0, most: 2 ** 32 - 1, whole: true });
  }
}

function checkedCounts(prompts: readonly unknown[], perPrompt: number | readonly number[]): readonly number[] {
  if (!Array.isArray(prompts)) {
    const remedy = "give a list of prompts, each of them token ids (tokenizer.encode)";
    throw new CohortError("bad-input", `sample: the prompts are ${shown(prompts)}`, remedy);
  }
  const limits = { least: 0, whole: true };
  if (!Array.isArray(perPrompt)) {
    number("sample", "perPrompt", perPrompt, limits);
    return prompts.map(() => perPrompt as number);
  }
  if (perPrompt.length !== prompts.length) {
    const message = `sample: perPrompt has ${perPrompt.length} numbers for ${prompts.length} prompts`;
    throw new CohortError("bad-input", message, "give one number for each, or one for all");
  }
  perPrompt.forEach((count, i) => {
    number("sample", `perPrompt[${i}]`, count, limits);
  });
  return perPrompt;
}

function checkPrompt(ids: ArrayLike<number>, i: number, { maxTokens, config }: Transformer): void {
  const at = `sample: prompt ${i}`;
  if (typeof ids !== "object" || ids === null || typeof ids.length !== "number") {
    const remedy = "give token ids: tokenizer.encode(text) makes them";
    throw new CohortError("bad-input", `${at} is ${shown(ids)}`, remedy);
  }
  if (ids.length === 0) {
    const remedy = "give it some text, or a tokenizer with a begin token";
    throw new CohortError("bad-input", `${at} has no tokens`, remedy);
  }
  if (ids.length >= maxTokens) {
    const message = `${at} has ${ids.length} tokens, the model's context is ${maxTokens}`;
    throw new CohortError("bad-input", message, "shorten the prompt");
  }
  for (let t = 0; t < ids.length; t++) {
    if (ids[t] >>> 0 === ids[t] && ids[t] < config.vocabSize) continue;
    const remedy = `ids run from 0 to ${config.vocabSize - 1}; use the model's own tokenizer`;
    throw new CohortError("bad-input", `${at}, token ${t}: id ${shown(ids[t])}`, remedy);
  }
}

interface Live extends Completion {
  random: Stream;
  promptRow: number;
  promptLength: number;
  /** First cache row of its own tokens. */
  row: number;
  limit: number;
}

async function wave(
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  first: number,
  last: number,
  counts: readonly number[],
  options: SamplingOptions,
  random: RandomKey,
): Promise<Completion[]> {
  const stops = new Set(options.stopIds);
  const all: Live[] = [];
  let rows = 0;
  for (let p = first; p < last; p++) {
    const promptRow = rows;
    rows += blocks(prompts[p].length);
    for (let r = 0; r < counts[p]; r++) {
      const limit = Math.min(options.maxTokens, model.maxTokens - prompts[p].length);
      all.push({
        prompt: p,
        ids: [],
        logp: new Float32Array(limit),
        entropy: new Float32Array(limit),
        finish: "length",
        random: new Stream(random.seed, random.stream, random.step, p, r),
        promptRow,
        promptLength: prompts[p].length,
        row: rows,
        limit,
      });
      rows += blocks(limit);
    }
  }
  const cache = model.newCache(rows);
  try {
    /** Writes down what was drawn; says which go on. */
    const take = (live: readonly Live[], drawn: { ids: Uint32Array; logp: Float32Array; entropy: Float32Array }) => {
      const next: Live[] = [];
      for (let i = 0; i < live.length; i++) {
        const s = live[i];
        const made = s.ids.length;
        s.logp[made] = drawn.logp[i];
        s.entropy[made] = drawn.entropy[i];
        s.ids.push(drawn.ids[i]);
        if (stops.has(drawn.ids[i])) s.finish = "stop";
        else if (made + 1 < s.limit) next.push(s);
      }
      return next;
    };
    let live: Live[] = [];
    for (let p = first; p < last; ) {
      const from = p;
      let tokens = 0;
      while (p < last && (p === from || tokens + prompts[p].length <= PREFILL_TOKENS)) tokens += prompts[p++].length;
      const group = all.filter((s) => s.prompt >= from && s.prompt < p);
      live.push(...take(group, await prefill(model, cache, prompts, from, p, group, options)));
    }
    // One set of arrays for all steps: a step is short, and what it leaves behind has to be collected.
    const [tokens, positions, cacheRows, logitRows] = [0, 1, 2, 3].map(() => new Uint32Array(live.length));
    const table = new Uint32Array(6 * live.length);
    const uniforms = new Float32Array(live.length);
    while (live.length > 0) {
      const n = live.length;
      let maxKeys = 0;
      for (let i = 0; i < n; i++) {
        const s = live[i];
        const made = s.ids.length;
        tokens[i] = s.ids[made - 1];
        positions[i] = s.promptLength + made - 1;
        cacheRows[i] = s.row + made - 1;
        logitRows[i] = i;
        table[6 * i] = i;
        table[6 * i + 1] = 1;
        table[6 * i + 2] = s.promptRow;
        table[6 * i + 3] = s.promptLength;
        table[6 * i + 4] = s.row;
        table[6 * i + 5] = made;
        maxKeys = Math.max(maxKeys, s.promptLength + made);
        uniforms[i] = s.random.uniform();
      }
      const step = {
        tokens: tokens.subarray(0, n),
        positions: positions.subarray(0, n),
        cacheRows: cacheRows.subarray(0, n),
        table: table.subarray(0, 6 * n),
        maxKeys,
        logitRows: logitRows.subarray(0, n),
        uniforms: uniforms.subarray(0, n),
      };
      live = take(live, await model.decode(cache, step, options));
    }
  } finally {
    model.freeCache(cache);
  }
  return all.map(({ prompt, ids, finish, logp, entropy }) => ({
    prompt,
    ids,
    finish,
    logp: logp.slice(0, ids.length),
    entropy: entropy.slice(0, ids.length),
  }));
}

/** The prompts from … to−1 in one pass, and the first token of each of their completions. */
function prefill(
  model: Transformer,
  cache: ReturnType<Transformer["newCache"]>,
  prompts: readonly ArrayLike<number>[],
  from: number,
  to: number,
  group: readonly Live[],
  options: SamplingOptions,
) {
  const tokens: number[] = [];
  const positions: number[] = [];
  const cacheRows: number[] = [];
  const table: number[] = [];
  const lastRow: number[] = [];
  let maxKeys = 0;
  for (let p = from; p < to; p++) {
    const ids = prompts[p];
    const live = group.find((s) => s.prompt === p);
    // No completion of it is asked for.
    if (!live) continue;
    const row = live.promptRow;
    table.push(tokens.length, ids.length, 0, 0, row, ids.length);
    for (let t = 0; t < ids.length; t++) {
      tokens.push(ids[t]);
      positions.push(t);
      cacheRows.push(row + t);
    }
    lastRow[p - from] = tokens.length - 1;
    maxKeys = Math.max(maxKeys, ids.length);
  }
  return model.decode(
    cache,
    {
      tokens: Uint32Array.from(tokens),
      positions: Uint32Array.from(positions),
      cacheRows: Uint32Array.from(cacheRows),
      table: Uint32Array.from(table),
      maxKeys,
      logitRows: Uint32Array.from(group, (s) => lastRow[s.prompt - from]),
      uniforms: Float32Array.from(group, (s) => s.random.uniform()),
    },
    options,
  );
}
