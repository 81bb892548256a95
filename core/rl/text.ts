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
