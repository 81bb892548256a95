/**
 * @file What the core asks of the platform it runs on. `core/` names no platform; hosts implement this.
 */

/** Files by '/'-separated path. Every method throws a CohortError("io", …) that names the path and the cause. */
export interface Storage {
  read(path: string): Promise<Uint8Array>;
  /** Bytes [offset, offset + length) of a file; shorter only at its end. */
  readRange(path: string, offset: number, length: number): Promise<Uint8Array>;
  size(path: string): Promise<number>;
  /** Replaces the file whole or not at all (temporary name, then rename); makes the folder. */
  write(path: string, data: Uint8Array | string): Promise<void>;
  /** Like write, from pieces that are never all in memory. */
  writeStream(path: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void>;
  append(path: string, data: Uint8Array | string): Promise<void>;
  /** Names in a folder, sorted; folders end in '/'. */
  list(path: string): Promise<string[]>;
  exists(path: string): Promise<boolean>;
  /** Removes a file or a folder with all it holds; silent where there is none. */
  remove(path: string): Promise<void>;
  /** Renames a file or folder, replacing what was there. */
  rename(from: string, to: string): Promise<void>;
}

/** Reads a text file as UTF-8. */
export async function readText(storage: Storage, path: string): Promise<string> {
  return new TextDecoder().decode(await storage.read(path));
}

/** Milliseconds from any fixed origin; only ever subtracted, and only shown to people. */
export type Clock = () => number;
