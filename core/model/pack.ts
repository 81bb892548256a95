/**
 * @file Sequences packed end to end for one pass, without padding.
 *
 * The last token of a sequence predicts nothing, so a pass computes n − 1 positions of n ids. Neighbours with the same prompt
 * may share its rows: the prompt is computed once, and what follows reads its keys and values. Going forward that changes no
 * bit, as a row is a function of the rows before it in its sequence; going backward, gradients by the prompt's rows are
 * added up before the layers below instead of after them, so that numbers agree but for rounding.
 */
import { CohortError } from "../errors.ts";

/** Ids of one sequence; tokens from index `from` on are scored (predicted by the position before them). */
export interface Sequence {
  readonly ids: ArrayLike<number>;
  /** Index of the first scored token, at least 1. */
  readonly from: number;
}

export interface Packed {
  /** [T] ids of the rows of the pass */
  readonly tokens: Uint32Array;
  /** [T] */
  readonly positions: Uint32Array;
  /** Six words a sequence, as core/wasm/attention.ts wants them. */
  readonly table: Uint32Array;
  /** Entries of `table`: the sequences, and each shared prompt. */
  readonly entries: number;
  readonly maxKeys: number;
  /** Where prompts are shared: the same sequences, each whole, as rows of this pass. */
  readonly whole?: WholeSequences;
  /** [S] positions whose next token is scored, sequence by sequence. */
  readonly rows: Uint32Array;
  /** [S] those next tokens. */
  readonly targets: Uint32Array;
  /** [sequences + 1] where each sequence's scored tokens begin in `rows`. */
  readonly offsets: Uint32Array;
}

/** Attention's backward pass knows whole sequences only: E rows, those of a shared prompt once for each of its sequences. */
export interface WholeSequences {
  /** [E] the row of the pass that each of them is */
  readonly rows: Uint32Array;
  /** [T] the first of them that each row of the pass is */
  readonly first: Uint32Array;
  /** `table` of these */
  readonly table: Uint32Array;
  readonly entries: number;
}

/** Runs of sequences with the same prompt, as [first, behind the last]. */
export function promptRuns(sequences: readonly Sequence[]): [number, number][] {
  const runs: [number, number][] = [];
  sequences.forEach((sequence, i) => {
    const run = runs.at(-1);
    if (run && samePrompt(sequences[i - 1], sequence)) run[1] = i + 1;
    else runs.push([i, i + 1]);
  });
  return runs;
}

function samePrompt(a: Sequence, b: Sequence): boolean {
  if (a.from !== b.from) return false;
  for (let t = 0; t < a.from; t++) if (a.ids[t] !== b.ids[t]) return false;
  return true;
}

/**
 * @param options.share compute the prompt of neighbours that have the same one once
 * @throws CohortError where a sequence has no token to predict from or is longer than `maxPositions`
 */
export function pack(
  sequences: readonly Sequence[],
  maxPositions: number,
  vocabSize: number,
  options: { share?: boolean } = {},
): Packed {
  let scored = 0;
  let maxKeys = 0;
  sequences.forEach(({ ids, from }, i) => {
    if (from < 1 || from > ids.length) {
      throw new CohortError(
        "bad-input",
        `pack: sequence ${i} has ${ids.length} ids and is scored from ${from}`,
        "score from 1 (the first token is predicted by nothing) to the end",
      );
    }
    if (ids.length > maxPositions) {
      throw new CohortError(
        "bad-input",
        `pack: sequence ${i} has ${ids.length} tokens, the model's context is ${maxPositions}`,
        "shorten the prompt or lower maxTokens",
      );
    }
    scored += ids.length - from;
    maxKeys = Math.max(maxKeys, ids.length - 1);
    for (let t = 0; t < ids.length; t++) {
      if (ids[t] >= 0 && ids[t] < vocabSize) continue;
      throw new CohortError(
        "bad-input",
        `pack: sequence ${i}, token ${t}: id ${ids[t]}`,
        `ids run from 0 to ${vocabSize - 1}; use the model's own tokenizer`,
      );
    }
  });
  const tokens: number[] = [];
  const positions: number[] = [];
  const table: number[] = [];
  const wholeRows: number[] = [];
  const wholeTable: number[] = [];
  const rows = new Uint32Array(scored);
  const targets = new Uint32Array(scored);
  const offsets = new Uint32Array(sequences.length + 1);
  const lay = (ids: ArrayLike<number>, from: number, to: number) => {
    for (let t = from; t < to; t++) {
      tokens.push(ids[t]);
      positions.push(t);
    }
  };
  let row = 0;
  let shared = false;
  for (const [first, behind] of options.share ? promptRuns(sequences) : sequences.map((_, i) => [i, i + 1])) {
    // What the run shares; 0 where there is nobody to share with.
    const prompt = behind - first > 1 ? sequences[first].from : 0;
    const promptAt = tokens.length;
    if (prompt > 0) {
      lay(sequences[first].ids, 0, prompt);
      table.push(promptAt, prompt, 0, 0, promptAt, prompt);
      shared = true;
    }
    for (let i = first; i < behind; i++) {
      const { ids, from } = sequences[i];
      const n = ids.length - 1;
      const own = tokens.length;
      const rowOf = (t: number) => (t < prompt ? promptAt + t : own + t - prompt);
      lay(ids, prompt, n);
      if (n > prompt) table.push(own, n - prompt, promptAt, prompt, own, n - prompt);
      wholeTable.push(wholeRows.length, n, 0, 0, wholeRows.length, n);
      for (let t = 0; t < n; t++) wholeRows.push(rowOf(t));
      for (let t = from; t <= n; t++, row++) {
        rows[row] = rowOf(t - 1);
        targets[row] = ids[t];
      }
      offsets[i + 1] = row;
    }
  }
  const words = (list: readonly number[]) => Uint32Array.from(list);
  return {
    tokens: words(tokens),
    positions: words(positions),
    table: words(table),
    entries: table.length / 6,
    maxKeys,
    rows,
    targets,
    offsets,
    ...(shared && {
      whole: {
        rows: words(wholeRows),
        first: firsts(wholeRows, tokens.length),
        table: words(wholeTable),
        entries: sequences.length,
      },
    }),
  };
}

function firsts(wholeRows: readonly number[], rows: number): Uint32Array {
  const first = new Uint32Array(rows);
  for (let e = wholeRows.length - 1; e >= 0; e--) first[wholeRows[e]] = e;
  return first;
}

/**
 * Places in order of what they hold, as core/wasm/pointwise.ts: embed_bwd sums them.
 * @returns slots [U], the distinct values ascending; order, the places, equal values together and ascending; starts [U + 1]
 */
export function placesByValue(values: ArrayLike<number>): Record<"slots" | "starts" | "order", Uint32Array> {
  const placesOf = new Map<number, number[]>();
  for (let i = 0; i < values.length; i++) {
    const places = placesOf.get(values[i]);
    if (places) places.push(i);
    else placesOf.set(values[i], [i]);
  }
  const slots = Uint32Array.from(placesOf.keys()).sort();
  const starts = new Uint32Array(slots.length + 1);
  const order = new Uint32Array(values.length);
  slots.forEach((value, u) => {
    const places = placesOf.get(value)!;
    order.set(places, starts[u]);
    starts[u + 1] = starts[u] + places.length;
  });
  return { slots, starts, order };
}
