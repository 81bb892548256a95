/**
 * @file Errors that a user can act on.
 *
 * Every message begins with the function or file at fault, gives the bad value, and ends with the remedy. `exitCode`
 * is what the command line ends with: 2 for input that was refused before work began, 1 for work that failed, 3 where
 * a device that is only looked at is not there (`cohort conformance`).
 */

/** What went wrong, as a stable name for programs; the message is for people. */
export type ErrorCode =
  | "bad-config"
  | "bad-input"
  | "bad-model"
  | "bad-reward"
  | "bad-batch"
  | "unknown-recipe"
  | "out-of-memory"
  | "io"
  | "not-finite"
  | "not-exact"
  | "device"
  | "interrupted";

export type ExitCode = 1 | 2 | 3;

export class CohortError extends Error {
  readonly code: ErrorCode;
  readonly exitCode: ExitCode;

  /**
   * @param message one sentence: where, the bad value, why it is refused
   * @param remedy one sentence: what to do about it
   */
  constructor(code: ErrorCode, message: string, remedy = "", options: { cause?: unknown; exitCode?: ExitCode } = {}) {
    super(remedy ? `${message} — ${remedy}` : message, { cause: options.cause });
    this.name = "CohortError";
    this.code = code;
    this.exitCode = options.exitCode ?? (code.startsWith("bad-") || code === "unknown-recipe" ? 2 : 1);
  }
}

/** Edits between two short strings, two letters that changed places among them (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      const turned = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (turned) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length];
}

/** Whether `letters` are the words, each once, in any order. */
function spells(letters: string, words: readonly string[]): boolean {
  if (words.length === 0) return letters === "";
  return words.some(
    (w, i) =>
      letters.startsWith(w) &&
      spells(
        letters.slice(w.length),
        words.filter((_, j) => j !== i),
      ),
  );
}

/**
 * The candidate that a misspelt name means: the same words in another order or otherwise joined ("Dr. GRPO" for grpo-dr),
 * else the nearest one by at most a third of the letters, else one that begins with it or that it begins with.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const letters = name.toLowerCase().replace(/[^a-z0-9]/g, "");
  let best: string | undefined;
  let longer: string | undefined;
  let least = Math.floor(name.length / 3) + 1;
  for (const candidate of candidates) {
    const plain = candidate.toLowerCase();
    if (letters && spells(letters, plain.split(/[^a-z0-9]+/).filter(Boolean))) return candidate;
    const shorter = Math.min(letters.length, plain.length);
    if (shorter >= 4 && letters.slice(0, shorter) === plain.slice(0, shorter)) longer ??= candidate;
    const d = distance(name.toLowerCase(), plain);
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best ?? longer;
}
