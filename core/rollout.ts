/**
 * @file Prompts → completions: batched decoding over a KV cache.
 *
 * A prompt is computed once for its whole group; all live sequences go through a pass together; finished ones leave.
 * None of it changes a bit: a token is a function of its own sequence and its own random number, which is keyed by
 * (seed, stream, step, prompt, rollout, token) and not by order (docs: exactness, rules 3 and 7).
 */
import { CohortError } from "./errors.ts";
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
 * @throws CohortError where a prompt is empty or leaves no room in the context
 */
export async function generate(
  model: Transformer,
  prompts: readonly ArrayLike<number>[],
  perPrompt: number | readonly number[],
  options: SamplingOptions,
  random: RandomKey,
): Promise<Completion[]> {
  const counts = typeof perPrompt === "number" ? prompts.map(() => perPrompt) : perPrompt;
  prompts.forEach((ids, i) => {
    if (ids.length === 0) {
      throw new CohortError(
        "bad-input",
        `generate: prompt ${i} has no tokens`,
        "give it some text, or a tokenizer with a begin token",
      );
    }
    if (ids.length >= model.maxTokens) {
      throw new CohortError(
        "bad-input",
        `generate: prompt ${i} has ${ids.length} tokens, the model's context is ${model.maxTokens}`,
        "shorten the prompt",
      );
    }
  });
  const { kvHeads, headDim, layers } = model.config;
  const rowBytes = layers * kvHeads * headDim * 8;
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

interface Live extends Completion {
  random: Stream;
  promptRow: number;
  promptLength: number;
  /** First cache row of its own tokens. */
  row: number;
  limit: number;
  scores: { logp: number[]; entropy: number[] };
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
        logp: new Float32Array(0),
        entropy: new Float32Array(0),
        finish: "length",
        random: new Stream(random.seed, random.stream, random.step, p, r),
        promptRow,
        promptLength: prompts[p].length,
        row: rows,
        limit,
        scores: { logp: [], entropy: [] },
      });
      rows += blocks(limit);
    }
  }
  const cache = model.newCache(rows);
  try {
    const take = (live: readonly Live[], drawn: { ids: Uint32Array; logp: Float32Array; entropy: Float32Array }) => {
      live.forEach((s, i) => {
        s.ids.push(drawn.ids[i]);
        s.scores.logp.push(drawn.logp[i]);
        s.scores.entropy.push(drawn.entropy[i]);
        if (stops.has(drawn.ids[i])) s.finish = "stop";
      });
      return live.filter((s) => s.finish !== "stop" && s.ids.length < s.limit);
    };
    let live: Live[] = [];
    for (let p = first; p < last; ) {
      const from = p;
      let tokens = 0;
      while (p < last && (p === from || tokens + prompts[p].length <= PREFILL_TOKENS)) tokens += prompts[p++].length;
      const group = all.filter((s) => s.prompt >= from && s.prompt < p);
      live.push(...take(group, await prefill(model, cache, prompts, from, p, group, options)));
    }
    while (live.length > 0) {
      const n = live.length;
      const step = {
        tokens: new Uint32Array(n),
        positions: new Uint32Array(n),
        cacheRows: new Uint32Array(n),
        table: new Uint32Array(6 * n),
        maxKeys: 0,
        logitRows: Uint32Array.from({ length: n }, (_, i) => i),
        uniforms: new Float32Array(n),
      };
      live.forEach((s, i) => {
        const made = s.ids.length;
        step.tokens[i] = s.ids[made - 1];
        step.positions[i] = s.promptLength + made - 1;
        step.cacheRows[i] = s.row + made - 1;
        step.table.set([i, 1, s.promptRow, s.promptLength, s.row, made], 6 * i);
        step.maxKeys = Math.max(step.maxKeys, s.promptLength + made);
        step.uniforms[i] = s.random.uniform();
      });
      live = take(live, await model.decode(cache, step, options));
    }
  } finally {
    model.freeCache(cache);
  }
  return all.map(({ prompt, ids, finish, scores }) => ({
    prompt,
    ids,
    finish,
    logp: Float32Array.from(scores.logp),
    entropy: Float32Array.from(scores.entropy),
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
