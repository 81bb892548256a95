/**
 * @file The `rows` slot: of each token's row over the vocabulary one number, and back from its derivative to the rows.
 *
 * A trainer never holds tokens × vocabulary. A first pass turns chunk after chunk of rows into numbers, the objective sees
 * these as the field `row` of the whole batch (whose denominators are right by construction), and a second pass turns
 * drow into dlogits, chunk after chunk. A token's result depends on its own row alone, so that chunks change no bit.
 */
import { Batch } from "../batch.ts";
import { Context } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { exp } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";
import { Stream, streams } from "../rng.ts";
import type { Params } from "./parameters.ts";
import { finite } from "./results.ts";
import type { Recipe } from "./types.ts";

/** Rows over a vocabulary of V of some tokens, [n, V] one after the other. */
export interface Rows {
  /** Number of the first token among all tokens of the pass. */
  first: number;
  count: number;
  /** The policy's logits. */
  logits: Float32Array;
  /** The reference policy's. */
  reference: Float32Array | null;
  /** The tokens that stand there, and what draws at these places follow from (with the token's number). */
  tokens?: ArrayLike<number>;
  key?: { seed: number; step: number };
}

/** Entries of a computation in f64: a few megabytes a vector. */
const ENTRIES = 2 ** 18;

/** One number for each token, from its rows alone. */
export function rowNumbers(recipe: Recipe, params: Params, rows: Rows): Float64Array {
  const numbers = new Float64Array(rows.count);
  byPieces(rows, (piece, at) => {
    withRow(recipe, params, piece, (_, row) => {
      finite(`rows: the number of recipe '${recipe.id}'`, row);
      numbers.set(row.values(), at);
    });
  });
  return numbers;
}

/**
 * ∂Σ drow·row/∂logits, [n, V].
 * @param drow one number for each of the rows
 */
export function rowDerivatives(recipe: Recipe, params: Params, rows: Rows, drow: Float64Array): Float64Array {
  const derivatives = new Float64Array(rows.logits.length);
  const V = rows.logits.length / Math.max(1, rows.count);
  byPieces(rows, (piece, at) => {
    withRow(recipe, params, piece, (c, row) => {
      const sum = row.mul(c.lift(c.token, drow.subarray(at, at + piece.count))).sumOver(ALL);
      const [dlogits] = gradients(sum, [c.field("logits")]);
      finite(`rows: dlogits of recipe '${recipe.id}'`, dlogits);
      derivatives.set(dlogits.values(), at * V);
    });
  });
  return derivatives;
}

/** Whether the recipe's number of a row needs the reference policy's row too. */
export function readsReferenceRows(recipe: Recipe, params: Params): boolean {
  if (!recipe.rows) return false;
  const [logits, reference] = [Float32Array.of(0, 1, -1), Float32Array.of(1, 0, 0)];
  const made = { first: 0, count: 1, logits, reference, tokens: [0], key: { seed: 0, step: 0 } };
  return withRow(recipe, params, made, (c) => c.reads.has("logits_ref"));
}

function byPieces(rows: Rows, run: (piece: Rows, at: number) => void): void {
  if (rows.count === 0) return;
  const V = rows.logits.length / rows.count;
  const size = Math.max(1, Math.floor(ENTRIES / V));
  for (let at = 0; at < rows.count; at += size) {
    const to = Math.min(at + size, rows.count);
    const cut = (of: Float32Array) => of.subarray(at * V, to * V);
    const { first, logits, reference, key } = rows;
    const tokens = rows.tokens && Array.from(rows.tokens).slice(at, to);
    const own = { logits: cut(logits), reference: reference && cut(reference) };
    run({ first: first + at, count: to - at, ...own, tokens, key }, at);
  }
}

function withRow<T>(recipe: Recipe, params: Params, rows: Rows, run: (c: Context, row: Vec) => T): T {
  const { count, logits, reference } = rows;
  const fields = { logits, ...(reference && { logits_ref: reference }) };
  const V = logits.length / count;
  const bare = Batch.from({ lengths: [count], fields: {} }).withRows(fields, V);
  const batch = recipe.trains?.tokenDraws ? bare.withCase(drawsOf(recipe, params, rows, V), recipe.fields) : bare;
  const c = new Context(batch, { metrics: false, differentiate: ["logits"] });
  try {
    return run(c, recipe.rows!(c, params));
  } finally {
    c.close();
  }
}

/** The tokens, and the recipe's draws from each row, which follow from the key and the token's number alone. */
function drawsOf({ trains }: Recipe, params: Params, rows: Rows, V: number): Record<string, unknown> {
  const { first, count, logits, tokens = [], key = { seed: 0, step: 0 } } = rows;
  const [draws, temperature] = [trains!.tokenDraws!.count, trains!.tokenDraws!.temperature].map((name) => params[name]);
  const below = new Float64Array(V);
  const samples = Array.from({ length: count }, (_, t) => {
    const row = logits.subarray(t * V, (t + 1) * V);
    const top = row.reduce((most, z) => Math.max(most, z), Number.NEGATIVE_INFINITY);
    let sum = 0;
    row.forEach((z, v) => {
      sum += exp((z - top) / temperature);
      below[v] = sum;
    });
    const random = new Stream(key.seed, streams.tokenDraws, key.step, first + t);
    return Array.from({ length: draws }, () => firstAbove(below, random.uniform() * sum));
  });
  return { tokens: [Array.from(tokens)], samples: [samples] };
}

/** Index of the first of ascending numbers that is above x. */
function firstAbove(ascending: Float64Array, x: number): number {
  let [low, high] = [0, ascending.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] > x) high = middle;
    else low = middle + 1;
  }
  return low;
}
