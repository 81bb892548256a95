/** @file Data sets from files: JSON lines, or parquet through the package hyparquet, loaded where it is asked for. */
import type { DataTask } from "../core/config.ts";
import { dataColumns } from "../core/data/example.ts";
import { type DataRow, parseRows, someRows } from "../core/data/lines.ts";
import { type DataSource, dataSource } from "../core/data/source.ts";
import { CohortError } from "../core/errors.ts";
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
  return /\.parquet$/i.test(path) ? readParquet(storage, path) : parseRows(await readText(storage, path), path);
}

async function readParquet(storage: Storage, path: string): Promise<DataRow[]> {
  const { parquetMetadataAsync, parquetReadObjects, toJson } = await hyparquet(path);
  const byteLength = await storage.size(path);
  const slice = async (start: number, end = byteLength): Promise<ArrayBuffer> => {
    const bytes = await storage.readRange(path, start, end - start);
    return bytes.slice().buffer as ArrayBuffer;
  };
  const file = { byteLength, slice };
  let names: string[];
  let records: Record<string, unknown>[];
  try {
    const metadata = await parquetMetadataAsync(file);
    names = topLevel(metadata.schema);
    // Columns that no format reads (images, ids, …) stay on disk; they are named, so that messages can.
    const columns = names.filter((name) => dataColumns.includes(name));
    records = columns.length > 0 ? await parquetReadObjects({ file, metadata, columns }) : [{}];
  } catch (cause) {
    if (cause instanceof CohortError) throw cause;
    throw new CohortError(
      "bad-input",
      `${path}: not a parquet file that can be read: ${(cause as Error).message}`,
      "write it anew with compression snappy or none, or give JSON lines",
      { cause },
    );
  }
  const none = Object.fromEntries(names.map((name) => [name, undefined]));
  const rows = records.map((record, k) => ({
    where: `${path}, row ${k + 1}`,
    columns: { ...none, ...(toJson(record) as Record<string, unknown>) },
  }));
  return someRows(rows, path);
}

/** Names of the columns: the schema is a tree, depth first, whose root comes first. */
function topLevel(schema: readonly { name: string; num_children?: number }[]): string[] {
  const names: string[] = [];
  let at = 1;
  const skip = (): void => {
    const { num_children: children = 0 } = schema[at++];
    for (let k = 0; k < children; k++) skip();
  };
  while (at < schema.length) {
    names.push(schema[at].name);
    skip();
  }
  return names;
}

async function hyparquet(path: string): Promise<typeof import("hyparquet")> {
  try {
    return await import("hyparquet");
  } catch (cause) {
    throw new CohortError(
      "bad-input",
      `${path}: parquet is read by the package hyparquet, which is not installed`,
      "npm install hyparquet, or give JSON lines",
      { cause },
    );
  }
}
