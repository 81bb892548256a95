/**
 * @file Statistics of token or word lists: counts, n-grams, entropy, overlap. Items are token ids, words or any other keys.
 */
import { log } from "./scalar.ts";

export type Item = number | string;

export function counts(items: Iterable<Item>): Map<Item, number> {
  const map = new Map<Item, number>();
  for (const x of items) map.set(x, (map.get(x) ?? 0) + 1);
  return map;
}

/** Entropy in nats of the distribution that the counts form; 0 for no counts. */
export function countEntropy(map: ReadonlyMap<Item, number>): number {
  let total = 0;
  for (const n of map.values()) total += n;
  let entropy = 0;
  for (const n of map.values()) if (n > 0) entropy -= (n / total) * log(n / total);
  return entropy;
}

/** The n-grams of one list, as keys. */
export function ngrams(items: readonly Item[], n: number): string[] {
  return Array.from({ length: Math.max(0, items.length - n + 1) }, (_, k) => JSON.stringify(items.slice(k, k + n)));
}

/** Distinct n-grams over all n-grams of several lists (distinct-n); no n-gram crosses a list. 0 where there is none. */
export function distinct(lists: readonly (readonly Item[])[], n: number): number {
  const all = lists.flatMap((items) => ngrams(items, n));
  return all.length === 0 ? 0 : new Set(all).size / all.length;
}

/** Cosine of two bags of items; 0 where one is empty. */
export function bagCosine(a: ReadonlyMap<Item, number>, b: ReadonlyMap<Item, number>): number {
  let dot = 0;
  for (const [x, n] of a) dot += n * (b.get(x) ?? 0);
  const norm = (map: ReadonlyMap<Item, number>): number => [...map.values()].reduce((sum, n) => sum + n * n, 0);
  const scale = Math.sqrt(norm(a) * norm(b));
  return scale === 0 ? 0 : dot / scale;
}

/** |A ∩ B| / |A ∪ B| of two sets; 0 for two empty ones. */
export function jaccard(a: ReadonlySet<Item>, b: ReadonlySet<Item>): number {
  let both = 0;
  for (const x of a) if (b.has(x)) both++;
  const union = a.size + b.size - both;
  return union === 0 ? 0 : both / union;
}

/** How often a marker stands in a text, occurrences not overlapping. */
export function occurrences(text: string, marker: string): number {
  return marker === "" ? 0 : text.split(marker).length - 1;
}

/** Insertions, deletions and substitutions that lead from one list to the other. */
export function editDistance(a: readonly Item[], b: readonly Item[]): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  a.forEach((x, i) => {
    const next = [i + 1];
    b.forEach((y, j) => {
      next.push(Math.min(row[j] + (x === y ? 0 : 1), row[j + 1] + 1, next[j] + 1));
    });
    row = next;
  });
  return row[b.length];
}

/** Harmonic mean of precision and recall of two lists with multiplicity; 1 for two empty ones, 0 where only one is. */
export function overlapF1(got: readonly Item[], want: readonly Item[]): number {
  if (got.length + want.length === 0) return 1;
  const left = counts(want);
  let both = 0;
  for (const x of got) {
    const n = left.get(x) ?? 0;
    if (n > 0) both++;
    left.set(x, n - 1);
  }
  return (2 * both) / (got.length + want.length);
}

/** Words between white space. */
export const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");
