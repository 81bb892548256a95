/**
 * @file Files in IndexedDB as the core's Storage, for browsers without OPFS.
 *
 * A file is an entry that lists its pieces; the pieces are stored apart. So a rename touches entries only, a range is read
 * without the rest, and every change is one transaction: it happened or it did not.
 */
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { guarded, namesOf, own } from "./storage-browser.ts";

interface Entry {
  /** first half of its pieces' keys */
  id: number;
  /** bytes of each piece */
  pieces: number[];
}

/** A piece of a stream is cut to this. */
const PIECE = 1 << 23;

const done = <T>(request: IDBRequest<T>) =>
  new Promise<T>((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** @param name of the database */
export async function indexedDbStorage(name: string): Promise<Storage> {
  await own(name);
  const db = await guarded("open", name, () => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("entries");
      request.result.createObjectStore("pieces");
    };
    return done(request);
  });
  const key = (path: string) => namesOf(path).join("/");
  /** Keys of what is in a folder: from "folder/" up to "folder0", the next character. */
  const inside = (folder: string) =>
    folder === "" ? undefined : IDBKeyRange.bound(`${folder}/`, `${folder}0`, false, true);
  const piecesOf = (id: number) => IDBKeyRange.bound([id, 0], [id, Number.MAX_SAFE_INTEGER]);

  async function transaction<T>(
    mode: IDBTransactionMode,
    work: (entries: IDBObjectStore, pieces: IDBObjectStore) => Promise<T>,
  ): Promise<T> {
    const change = db.transaction(["entries", "pieces"], mode, { durability: "strict" });
    const end = new Promise<void>((resolve, reject) => {
      change.oncomplete = () => resolve();
      change.onabort = () => reject(change.error ?? new DOMException("the change was undone", "AbortError"));
    });
    end.catch(() => undefined);
    let result: T;
    try {
      result = await work(change.objectStore("entries"), change.objectStore("pieces"));
    } catch (error) {
      try {
        change.abort();
      } catch {
        // It has undone itself.
      }
      throw error;
    }
    await end;
    return result;
  }

  const get = async (entries: IDBObjectStore, path: string): Promise<Entry> => {
    const found = (await done(entries.get(key(path)))) as Entry | undefined;
    if (!found) throw new DOMException("nothing there", "NotFoundError");
    return found;
  };
  const holds = async (entries: IDBObjectStore, folder: string) => (await done(entries.count(inside(folder)))) > 0;
  const drop = async (entries: IDBObjectStore, pieces: IDBObjectStore, at: string, folderToo = true) => {
    const old = (await done(entries.get(at))) as Entry | undefined;
    const all = old ? [old] : [];
    if (folderToo) all.push(...((await done(entries.getAll(inside(at)))) as Entry[]));
    for (const { id } of all) await done(pieces.delete(piecesOf(id)));
    await done(entries.delete(at));
    const range = inside(at);
    if (folderToo && range) await done(entries.delete(range));
  };
  const put = async (entries: IDBObjectStore, pieces: IDBObjectStore, at: string, entry: Entry) => {
    const names = at.split("/");
    for (let depth = 1; depth < names.length; depth++) {
      if (await done(entries.count(names.slice(0, depth).join("/"))))
        throw new DOMException("a file", "TypeMismatchError");
    }
    if (at === "" || (await holds(entries, at))) throw new DOMException("a folder", "TypeMismatchError");
    await drop(entries, pieces, at, false);
    await done(entries.put(entry, at));
  };

  // Pieces without an entry are what a crash left.
  let next = await guarded("open", name, () =>
    transaction("readwrite", async (entries, pieces) => {
      const ids = new Set(((await done(entries.getAll())) as Entry[]).map(({ id }) => id));
      for (const found of (await done(pieces.getAllKeys())) as [number, number][]) {
        if (!ids.has(found[0])) await done(pieces.delete(found));
      }
      return Math.max(0, ...ids) + 1;
    }),
  );

  const replace = (path: string, source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) =>
    guarded("write", path, async () => {
      const entry: Entry = { id: next++, pieces: [] };
      try {
        for await (const piece of source) {
          for (let at = 0; at < piece.length; at += PIECE) {
            const part = piece.slice(at, at + PIECE);
            await transaction("readwrite", (_, pieces) => done(pieces.put(part, [entry.id, entry.pieces.length])));
            entry.pieces.push(part.length);
          }
        }
        await transaction("readwrite", (entries, pieces) => put(entries, pieces, key(path), entry));
      } catch (error) {
        await transaction("readwrite", (_, pieces) => done(pieces.delete(piecesOf(entry.id)))).catch(() => undefined);
        throw error;
      }
    });
  const sizeOf = (entry: Entry) => entry.pieces.reduce((a, b) => a + b, 0);
  const range = (path: string, offset: number, length: number) =>
    guarded("read", path, () =>
      transaction("readonly", async (entries, pieces) => {
        const entry = await get(entries, path);
        const to = Math.min(sizeOf(entry), offset + length);
        const out = new Uint8Array(Math.max(0, to - offset));
        let at = 0;
        for (const [index, bytes] of entry.pieces.entries()) {
          if (at < to && at + bytes > offset) {
            const piece = (await done(pieces.get([entry.id, index]))) as Uint8Array;
            const start = Math.max(0, offset - at);
            out.set(piece.subarray(start, Math.min(bytes, to - at)), at + start - offset);
          }
          at += bytes;
        }
        return out;
      }),
    );

  return {
    read: (path) => range(path, 0, Number.MAX_SAFE_INTEGER),
    readRange: range,
    size: (path) =>
      guarded("read", path, () => transaction("readonly", async (entries) => sizeOf(await get(entries, path)))),
    write: (path, data) => replace(path, [typeof data === "string" ? new TextEncoder().encode(data) : data]),
    writeStream: replace,
    append: (path, given) =>
      guarded("append to", path, () =>
        transaction("readwrite", async (entries, pieces) => {
          const old = (await done(entries.get(key(path)))) as Entry | undefined;
          const entry = old ?? { id: next++, pieces: [] };
          const data = typeof given === "string" ? new TextEncoder().encode(given) : given.slice();
          await done(pieces.put(data, [entry.id, entry.pieces.length]));
          entry.pieces.push(data.length);
          if (old) await done(entries.put(entry, key(path)));
          else await put(entries, pieces, key(path), entry);
        }),
      ),
    list: (path) =>
      guarded("list", path, () =>
        transaction("readonly", async (entries) => {
          const folder = key(path);
          const prefix = folder === "" ? "" : `${folder}/`;
          const names = new Set<string>();
          for (const found of (await done(entries.getAllKeys(inside(folder)))) as string[]) {
            const rest = found.slice(prefix.length);
            const cut = rest.indexOf("/");
            names.add(cut < 0 ? rest : rest.slice(0, cut + 1));
          }
          if (names.size === 0 && folder !== "") throw new DOMException("nothing there", "NotFoundError");
          return [...names].sort();
        }),
      ),
    exists: (path) =>
      guarded("read", path, () =>
        transaction("readonly", async (entries) => {
          const at = key(path);
          return (await done(entries.count(at))) > 0 || (await holds(entries, at));
        }),
      ),
    remove: (path) =>
      guarded("remove", path, () => transaction("readwrite", (entries, pieces) => drop(entries, pieces, key(path)))),
    rename: (from, to) =>
      guarded("rename", `${from} to ${to}`, () =>
        transaction("readwrite", async (entries, pieces) => {
          const [source, target] = [key(from), key(to)];
          if (source === target) return;
          const range = inside(source);
          const found = [
            ...((await done(entries.getAllKeys(source))) as string[]),
            ...(range ? ((await done(entries.getAllKeys(range))) as string[]) : []),
          ];
          if (found.length === 0)
            throw new CohortError("io", `storage: no file or folder ${from} to rename`, "check it");
          const moved: [string, Entry][] = [];
          for (const at of found) moved.push([target + at.slice(source.length), await done(entries.get(at))]);
          for (const at of found) await done(entries.delete(at));
          await drop(entries, pieces, target);
          for (const [at, entry] of moved) await done(entries.put(entry, at));
        }),
      ),
  };
}
