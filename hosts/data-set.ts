/** @file Data sets from files: JSON lines. */
import type { DataTask } from "../core/config.ts";
import { type DataRow, parseRows } from "../core/data/lines.ts";
import { type DataSource, dataSource } from "../core/data/source.ts";
import { readText, type Storage } from "../core/host.ts";

/**
 * @param note told where evaluation uses the examples of training
 * @throws CohortError for files that are missing or malformed
 */
export async function openDataSet(
  task: DataTask,
  name: string,
  storage: Storage,
  note: (text: string) => void = () => {},
): Promise<DataSource> {
  const { data, format } = task;
  const rows = await readRows(storage, data);
  const heldout = task.heldout === null ? undefined : await readRows(storage, task.heldout);
  return dataSource({ name, rows, format, note, ...(heldout && { heldout }) });
}

/** Every row of a data file. */
async function readRows(storage: Storage, path: string): Promise<DataRow[]> {
  return parseRows(await readText(storage, path), path);
}
