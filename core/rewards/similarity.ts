/** @file How like two texts are, from 0 to 1: what judges and similarities are where a task brings none of its own. */
import { bagCosine, counts, overlapF1, words } from "../rl/text.ts";

export type Similarity = (a: string, b: string) => number;

/** Words where there is white space, else characters: built-in tasks write without spaces. */
const units = (a: string, b: string) =>
  /\s/.test(a.trim()) || /\s/.test(b.trim()) ? words : (text: string) => [...text];

/** 1 where the texts are equal but for white space around them. */
export const exactMatch: Similarity = (a, b) => Number(a.trim() === b.trim());

/** Harmonic mean of precision and recall of their words, with multiplicity. */
export const tokenF1: Similarity = (a, b) => overlapF1(units(a, b)(a), units(a, b)(b));

/** Cosine of their word counts. */
export const bagOfWords: Similarity = (a, b) => bagCosine(counts(units(a, b)(a)), counts(units(a, b)(b)));
