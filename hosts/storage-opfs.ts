/**
 * @file Files of the origin private file system as the core's Storage; in a worker, where files have synchronous handles.
 *
 * A write goes to a temporary file that is then moved. A folder cannot be moved at once: its rename is written down
 * first, and what a crash left undone is done at the next opening, so that a folder is renamed whole.
 */
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { guarded, namesOf, oneByOne, own } from "./storage-browser.ts";

interface SyncHandle {
  getSize(): number;
  write(data: Uint8Array, options?: { at: number }): number;
  flush(): void;
  close(): void;
}

/** Members that TypeScript's library leaves out. */
type FileHandle = FileSystemFileHandle & {
  createSyncAccessHandle(): Promise<SyncHandle>;
  move?(parent: FileSystemDirectoryHandle, name: string): Promise<void>;
};
type DirectoryHandle = FileSystemDirectoryHandle & {
  entries(): AsyncIterable<[string, FileSystemHandle]>;
};

/** A rename of a folder that has begun. */
interface Pending {
  from: string;
  to: string;
  /** what was at `to` is gone */
  cleared: boolean;
}

/** Beside the files, under names that no path reaches. */
const TEMPORARY = ".cohort-temporary";
const PENDING = ".cohort-rename.json";
const COPY = 1 << 22;

/** Whether this scope has OPFS with synchronous handles. */
export function hasOpfs(): boolean {
  const file = (globalThis as { FileSystemFileHandle?: { prototype: object } }).FileSystemFileHandle;
  return !!navigator.storage?.getDirectory && !!file && "createSyncAccessHandle" in file.prototype;
}

/**
 * @param folder of the origin's file system that holds everything
 * @throws CohortError("io") where the browser forbids it, or another tab uses the folder
 */
export async function opfsStorage(folder: string): Promise<Storage> {
  await own(folder);
  const root = await guarded("open", folder, async () =>
    (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true }),
  );
  const changing = oneByOne();
  const temporaries = await root.getDirectoryHandle(TEMPORARY, { create: true });
  let serial = 0;

  const folderAt = async (names: readonly string[], create = false) => {
    let at = root;
    for (const name of names) at = await at.getDirectoryHandle(name, { create });
    return at as DirectoryHandle;
  };
  const fileAt = async (path: string) => {
    const names = namesOf(path);
    if (names.length === 0) throw new CohortError("io", `storage: ${path} is a folder`, "name a file in it");
    return (await (await folderAt(names.slice(0, -1))).getFileHandle(names.at(-1)!)) as FileHandle;
  };
  const kindOf = async (names: readonly string[]): Promise<"file" | "directory" | null> => {
    try {
      const parent = await folderAt(names.slice(0, -1));
      if (names.length === 0) return "directory";
      return await parent.getFileHandle(names.at(-1)!).then(
        () => "file" as const,
        async (error: DOMException) => {
          if (error.name === "TypeMismatchError") return "directory" as const;
          return null;
        },
      );
    } catch {
      return null;
    }
  };
  const removeAt = async (names: readonly string[]) => {
    if ((await kindOf(names)) === null) return;
    await (await folderAt(names.slice(0, -1))).removeEntry(names.at(-1)!, { recursive: true });
  };

  const writeAll = (handle: SyncHandle, data: Uint8Array, at: number) => {
    const written = handle.write(data, { at });
    if (written !== data.length) throw new DOMException("a write fell short", "QuotaExceededError");
  };
  const fill = async (file: FileHandle, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
    const handle = await file.createSyncAccessHandle();
    try {
      let at = 0;
      for await (const piece of pieces) {
        writeAll(handle, piece, at);
        at += piece.length;
      }
      handle.flush();
    } finally {
      handle.close();
    }
  };
  const moveFile = async (file: FileHandle, parent: FileSystemDirectoryHandle, name: string) => {
    if (file.move) return file.move(parent, name);
    // Without move the target is not replaced at once: the copy is complete before the source goes.
    const data = await file.getFile();
    const pieces = async function* () {
      for (let at = 0; at < data.size; at += COPY) {
        yield new Uint8Array(await data.slice(at, at + COPY).arrayBuffer());
      }
    };
    const target = (await parent.getFileHandle(name, { create: true })) as FileHandle;
    const handle = await target.createSyncAccessHandle();
    (handle as SyncHandle & { truncate(size: number): void }).truncate(0);
    handle.close();
    await fill(target, pieces());
  };
  const replace = (path: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) =>
    guarded("write", path, async () => {
      const names = namesOf(path);
      // Made outside the queue: a stream may take long, and may itself read from here.
      const name = String(serial++);
      try {
        const file = (await temporaries.getFileHandle(name, { create: true })) as FileHandle;
        await fill(file, pieces);
        await changing(async () => {
          if (names.length === 0 || (await kindOf(names)) === "directory") {
            throw new DOMException("a folder", "TypeMismatchError");
          }
          await moveFile(file, await folderAt(names.slice(0, -1), true), names.at(-1)!);
        });
      } finally {
        await temporaries.removeEntry(name).catch(() => undefined);
      }
    });

  const note = async (pending: Pending) => {
    const file = (await temporaries.getFileHandle(PENDING, { create: true })) as FileHandle;
    await fill(file, [new TextEncoder().encode(JSON.stringify(pending).padEnd(4096))]);
  };
  const moveFolder = async (from: DirectoryHandle, to: FileSystemDirectoryHandle) => {
    const entries: [string, FileSystemHandle][] = [];
    for await (const entry of from.entries()) entries.push(entry);
    for (const [name, entry] of entries) {
      if (entry.kind === "file") await moveFile(entry as FileHandle, to, name);
      else await moveFolder(entry as DirectoryHandle, await to.getDirectoryHandle(name, { create: true }));
    }
  };
  const finish = async (pending: Pending) => {
    const [source, target] = [namesOf(pending.from), namesOf(pending.to)];
    if (!pending.cleared) {
      await removeAt(target);
      await note({ ...pending, cleared: true });
    }
    if ((await kindOf(source)) === "directory") {
      await moveFolder(await folderAt(source), await folderAt(target, true));
      await removeAt(source);
    }
    await temporaries.removeEntry(PENDING);
  };

  // What a crash left: a rename to finish, temporary files to drop.
  await guarded("open", folder, async () => {
    const left: string[] = [];
    for await (const [name] of (temporaries as DirectoryHandle).entries()) left.push(name);
    if (left.includes(PENDING)) {
      const file = await (await temporaries.getFileHandle(PENDING)).getFile();
      const text = await file.text();
      let pending: Pending | null = null;
      try {
        pending = JSON.parse(text) as Pending;
      } catch {
        // Cut while it was written: nothing had been moved yet.
      }
      if (pending) await finish(pending);
    }
    for (const name of left) await temporaries.removeEntry(name).catch(() => undefined);
  });

  return {
    read: (path) =>
      guarded("read", path, async () => new Uint8Array(await (await (await fileAt(path)).getFile()).arrayBuffer())),
    readRange: (path, offset, length) =>
      guarded("read", path, async () => {
        const file = await (await fileAt(path)).getFile();
        return new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
      }),
    size: (path) => guarded("read", path, async () => (await (await fileAt(path)).getFile()).size),
    write: (path, data) => replace(path, [typeof data === "string" ? new TextEncoder().encode(data) : data]),
    writeStream: replace,
    append: (path, data) =>
      guarded("append to", path, () =>
        changing(async () => {
          const names = namesOf(path);
          const parent = await folderAt(names.slice(0, -1), true);
          const file = (await parent.getFileHandle(names.at(-1)!, { create: true })) as FileHandle;
          const handle = await file.createSyncAccessHandle();
          try {
            writeAll(handle, typeof data === "string" ? new TextEncoder().encode(data) : data, handle.getSize());
            handle.flush();
          } finally {
            handle.close();
          }
        }),
      ),
    list: (path) =>
      guarded("list", path, async () => {
        const names = namesOf(path);
        const found: string[] = [];
        for await (const [name, { kind }] of (await folderAt(names)).entries()) {
          if (names.length > 0 || name !== TEMPORARY) found.push(kind === "directory" ? `${name}/` : name);
        }
        return found.sort();
      }),
    exists: async (path) => (await kindOf(namesOf(path))) !== null,
    remove: (path) => guarded("remove", path, () => changing(() => removeAt(namesOf(path)))),
    rename: (from, to) =>
      guarded("rename", `${from} to ${to}`, () =>
        changing(async () => {
          const [source, target] = [namesOf(from), namesOf(to)];
          if (source.join("/") === target.join("/")) return;
          const kind = await kindOf(source);
          if (kind === null) throw new DOMException("nothing there", "NotFoundError");
          if (kind === "directory") {
            const pending: Pending = { from: source.join("/"), to: target.join("/"), cleared: false };
            await note(pending);
            return finish(pending);
          }
          if ((await kindOf(target)) === "directory") await removeAt(target);
          const file = await (await folderAt(source.slice(0, -1))).getFileHandle(source.at(-1)!);
          await moveFile(file as FileHandle, await folderAt(target.slice(0, -1), true), target.at(-1)!);
          await removeAt(source);
        }),
      ),
  };
}
