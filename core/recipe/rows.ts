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
import type { Vec } from "../rl/vec.ts";
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
  const made = { first: 0, count: 1, logits: Float32Array.of(0, 1, -1), reference: Float32Array.of(1, 0, 0) };
  return withRow(recipe, params, made, (c) => c.reads.has("logits_ref"));
}

function byPieces(rows: Rows, run: (piece: Rows, at: number) => void): void {
  if (rows.count === 0) return;
  const V = rows.logits.length / rows.count;
  const size = Math.max(1, Math.floor(ENTRIES / V));
  for (let at = 0; at < rows.count; at += size) {
    const to = Math.min(at + size, rows.count);
    const cut = (of: Float32Array) => of.subarray(at * V, to * V);
    const { first, logits, reference } = rows;
    run({ first: first + at, count: to - at, logits: cut(logits), reference: reference && cut(reference) }, at);
  }
}

function withRow<T>(recipe: Recipe, params: Params, rows: Rows, run: (c: Context, row: Vec) => T): T {
  const { count, logits, reference } = rows;
  const fields = { logits, ...(reference && { logits_ref: reference }) };
  const batch = Batch.from({ lengths: [count], fields: {} }).withRows(fields, logits.length / count);
  const c = new Context(batch, { metrics: false, differentiate: ["logits"] });
  try {
    return run(c, recipe.rows!(c, params));
  } finally {
    c.close();
  }
}
