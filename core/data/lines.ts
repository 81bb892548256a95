/** @file Rows of a data file, each with the place that messages name. */
import { CohortError } from "../errors.ts";

export type Columns = Readonly<Record<string, unknown>>;

/** A row of a data set, and where it stands: "pairs.jsonl, line 3". */
export interface DataRow {
  readonly where: string;
  readonly columns: Columns;
}

/**
 * Rows of JSON lines. Empty lines are passed over.
 * @param where the file's name, for messages
 * @throws CohortError("bad-input") naming the line that is not a JSON object, or an empty file
 */
export function parseRows(text: string, where: string): DataRow[] {
  const rows: DataRow[] = [];
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const at = `${where}, line ${index + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      const shown = line.trim().slice(0, 60);
      throw new CohortError(
        "bad-input",
        `${at}: not JSON: ${shown}`,
        'write one object a line, as in {"prompt": "…"}',
        { cause },
      );
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new CohortError(
        "bad-input",
        `${at}: ${line.trim().slice(0, 60)} is not an object`,
        'write {"prompt": "…"}',
      );
    }
    rows.push({ where: at, columns: value as Columns });
  }
  return someRows(rows, where);
}

/** @throws CohortError("bad-input") where there is no row */
export function someRows(rows: DataRow[], where: string): DataRow[] {
  if (rows.length > 0) return rows;
  throw new CohortError("bad-input", `${where}: no example in it`, "write at least one row");
}
