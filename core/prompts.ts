/** @file Prompt files of the user's own: JSON lines with `prompt` (text or chat messages) and any other columns. */

import { CohortError } from "./errors.ts";
import type { RewardSpec, Row } from "./rewards/reward.ts";
import { hashText, Stream, streams } from "./rng.ts";
import type { TaskSource } from "./tasks/task.ts";

function isMessages(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((m) => typeof m?.role === "string" && typeof m?.content === "string")
  );
}

/**
 * The rows of a prompt file.
 * @param where the file's name, for messages
 * @throws CohortError("bad-input") naming the line: malformed JSON, no prompt, an empty file
 */
export function parsePrompts(text: string, where = "prompts"): Row[] {
  const rows: Row[] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    if (line.trim() === "") continue;
    const at = `${where}, line ${index + 1}`;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (cause) {
      const near = line.trim().slice(0, 60);
      throw new CohortError("bad-input", `${at}: not JSON: ${near}`, 'write one object a line, as in {"prompt": "…"}', {
        cause,
      });
    }
    if (typeof row !== "object" || row === null || Array.isArray(row)) {
      throw new CohortError(
        "bad-input",
        `${at}: ${line.trim().slice(0, 60)} is not an object`,
        'write {"prompt": "…"}',
      );
    }
    const { prompt } = row as { prompt?: unknown };
    if (prompt === undefined) {
      const columns = Object.keys(row).join(", ") || "none";
      throw new CohortError(
        "bad-input",
        `${at}: no "prompt" among the columns (${columns})`,
        'add "prompt" or rename a column',
      );
    }
    if (!(typeof prompt === "string" && prompt !== "") && !isMessages(prompt)) {
      const got = JSON.stringify(prompt).slice(0, 60);
      throw new CohortError("bad-input", `${at}: "prompt" is ${got}`, "give a text, or messages [{role, content}, …]");
    }
    rows.push(row as Row);
  }
  if (rows.length === 0) throw new CohortError("bad-input", `${where}: no prompts in it`, "write at least one line");
  return rows;
}

/** Sets an eighth of the rows apart, by a hash of the prompt; all rows on both sides where one would be empty. */
export function splitRows(rows: readonly Row[]): { train: Row[]; heldout: Row[]; overlap: boolean } {
  const apart = (row: Row) => hashText(JSON.stringify(row.prompt)) % 8 === 0;
  const heldout = rows.filter(apart);
  const train = rows.filter((row) => !apart(row));
  const overlap = train.length === 0 || heldout.length === 0;
  return overlap ? { train: [...rows], heldout: [...rows], overlap } : { train, heldout, overlap };
}

/**
 * Prompts and rewards of the user's own as a source for the trainer. Training rows come in passes over the file, each
 * in its own random order; an evaluation takes the first of one order. A column `demonstration` in every row, a right
 * completion, serves warm starts and recipes that learn from demonstrations.
 */
export function fileTask(given: {
  name: string;
  train: readonly Row[];
  heldout: readonly Row[];
  rewards: readonly RewardSpec[];
  /** weighted reward from which a completion counts as right */
  passAt: number;
}): TaskSource {
  const orders = new Map<string, Uint32Array>();
  const order = (split: number, rows: readonly Row[], seed: number, pass: number) => {
    const name = `${split}/${seed}/${pass}`;
    let found = orders.get(name);
    if (!found) {
      found = new Stream(seed, streams.task, split, pass).shuffle(Uint32Array.from(rows, (_, i) => i));
      if (orders.size > 8) orders.clear();
      orders.set(name, found);
    }
    return found;
  };
  return {
    name: given.name,
    rewards: given.rewards,
    trainSize: given.train.length,
    ...(given.train.every((row) => typeof row.demonstration === "string") && {
      supervised: (row: Row) => String(row.demonstration),
    }),
    prompts(split, n, seed, start = 0) {
      const rows = split === "train" ? given.train : given.heldout;
      const count = split === "train" ? n : Math.max(0, Math.min(n, rows.length - start));
      return Array.from({ length: count }, (_, k) => {
        const index = start + k;
        const pass = Math.floor(index / rows.length);
        return rows[order(split === "train" ? 0 : 1, rows, seed, pass)[index % rows.length]];
      });
    },
    isRight: (_, total) => total >= given.passAt,
  };
}
