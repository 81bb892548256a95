/**
 * @file Scores of answers and documents as question answering and retrieval have them: normalised text, word F1, TF-IDF.
 */
import { log } from "./scalar.ts";
import { counts, overlapF1, words } from "./text.ts";

/** Lower case, without ASCII punctuation and the articles a, an, the; single blanks. */
export function normalised(text: string): string {
  const bare = text.toLowerCase().replace(/[!-/:-@[-`{-~]/g, "");
  return words(bare.replace(/(?<![\p{L}\p{N}_])(a|an|the)(?![\p{L}\p{N}_])/gu, " ")).join(" ");
}

/** Word F1 of two texts after normalising, to four decimals; 0 where no word is shared. */
export function wordF1(got: string, want: string): number {
  const [a, b] = [words(normalised(got)), words(normalised(want))];
  return a.length + b.length === 0 ? 0 : Math.round(overlapF1(a, b) * 1e4) / 1e4;
}

/** The best word F1 against the alternatives; 0 for none. */
export const bestF1 = (got: string, alternatives: readonly string[]): number =>
  alternatives.reduce((best, want) => Math.max(best, wordF1(got, want)), 0);

/**
 * Cosine of a text with each of the others by TF-IDF fitted on all of them together: words of two and more characters,
 * raw counts times ln((1 + n)/(1 + df)) + 1 (scikit-learn's defaults). 0 where one has no such word.
 */
export function tfidfCosines(text: string, others: readonly string[]): number[] {
  const bags = [text, ...others].map((t) => counts(t.toLowerCase().match(/[\p{L}\p{N}_]{2,}/gu) ?? []));
  const inverse = (word: string | number): number =>
    log((1 + bags.length) / (1 + bags.filter((bag) => bag.has(word)).length)) + 1;
  const rows = bags.map((bag) => new Map([...bag].map(([word, n]) => [word, n * inverse(word)])));
  const norms = rows.map((row) => Math.sqrt([...row.values()].reduce((sum, x) => sum + x * x, 0)));
  return others.map((_, k) => {
    const other = rows[k + 1];
    let dot = 0;
    for (const [word, x] of rows[0]) dot += x * (other.get(word) ?? 0);
    const scale = norms[0] * norms[k + 1];
    return scale > 0 ? dot / scale : 0;
  });
}
