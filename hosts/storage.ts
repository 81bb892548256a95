/**
 * @file Files of Node (and of Deno through its node: modules) as the core's Storage.
 *
 * A write goes to a temporary name beside the file, is flushed to the disk, and is renamed: a crash or a full disk
 * leaves the old file whole.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";

/** What an error code of the operating system means to a person, and what to do about it. */
const causes: Record<string, [cause: string, remedy: string]> = {
  ENOENT: ["no such file or folder", "check the path"],
  EACCES: ["permission denied", "choose a path you may read and write, or change its permissions"],
  EPERM: ["operation not permitted", "choose a path you may read and write, or change its permissions"],
  EISDIR: ["it is a folder, not a file", "name a file in it"],
  ENOTDIR: ["a part of the path is a file, not a folder", "choose another path"],
  EEXIST: ["a part of the path is a file, not a folder", "choose another path"],
  ENOSPC: ["the disk is full", "free some space and start again; what was there before is unchanged"],
  EDQUOT: ["the disk quota is used up", "free some space and start again; what was there before is unchanged"],
  EROFS: ["the file system is read-only", "choose a folder on another file system"],
  EMFILE: ["too many files are open", "raise the limit of open files (ulimit -n)"],
  ENAMETOOLONG: ["the name is too long", "choose a shorter path"],
};

async function guarded<T>(verb: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CohortError) throw error;
    if ((error as Error).name === "NotCapable") {
      const needed = /^Requires [^,]*/.exec((error as Error).message)?.[0] ?? "permission is missing";
      const remedy = "run it with deno run -A, or with --allow-read and --allow-write";
      throw new CohortError("io", `storage: cannot ${verb} ${path}: ${needed}`, remedy, { cause: error });
    }
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const [cause, remedy] = causes[code] ?? [(error as Error).message ?? String(error), "check the path and the disk"];
    throw new CohortError("io", `storage: cannot ${verb} ${path}: ${cause}`, remedy, { cause: error });
  }
}

/** One call of the operating system moves fewer than 2^31 bytes. */
const maxTransfer = 1 << 30;

async function readInto(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, maxTransfer), offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done === length ? bytes : bytes.slice(0, done);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, maxTransfer));
    done += bytesWritten;
  }
}

/** Makes the renamed entry itself durable; not every platform can flush a folder, and none needs it to be correct. */
async function flushFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {}
}

/**
 * Storage over the file system.
 *
 * @param root what relative paths start from; absolute paths are taken as they are
 */
export function nodeStorage(root = "."): Storage {
  const at = (path: string) => resolve(root, path);
  let serial = 0;
  const temporary = (path: string) => join(dirname(path), `.${basename(path)}.${process.pid}-${serial++}.tmp`);

  async function replace(path: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
    await guarded("write", path, async () => {
      const target = at(path);
      await mkdir(dirname(target), { recursive: true });
      const name = temporary(target);
      const file = await open(name, "w");
      try {
        try {
          await fill(file);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(name, target);
      } catch (error) {
        await rm(name, { force: true });
        throw error;
      }
      await flushFolder(dirname(target));
    });
  }

  async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
    return guarded("read", path, async () => {
      const file = await open(at(path), "r");
      try {
        return await work(file);
      } finally {
        await file.close();
      }
    });
  }

  return {
    read: (path) => withFile(path, async (file) => readInto(file, 0, (await file.stat()).size)),
    readRange: (path, offset, length) =>
      withFile(path, async (file) => {
        const { size } = await file.stat();
        return readInto(file, offset, Math.max(0, Math.min(length, size - offset)));
      }),
    size: (path) =>
      guarded("read", path, async () => {
        const entry = await stat(at(path));
        if (entry.isDirectory()) throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
        return entry.size;
      }),
    write: (path, data) =>
      replace(path, (file) => writeAll(file, typeof data === "string" ? new TextEncoder().encode(data) : data)),
    writeStream: (path, pieces) =>
      replace(path, async (file) => {
        for await (const piece of pieces) await writeAll(file, piece);
      }),
    append: (path, data) =>
      guarded("append to", path, async () => {
        await mkdir(dirname(at(path)), { recursive: true });
        const file = await open(at(path), "a");
        try {
          await writeAll(file, typeof data === "string" ? new TextEncoder().encode(data) : data);
        } finally {
          await file.close();
        }
      }),
    list: (path) =>
      guarded("list", path, async () => {
        const entries = await readdir(at(path), { withFileTypes: true });
        const names = await Promise.all(
          entries.map(async (entry) => {
            const folder = entry.isSymbolicLink()
              ? await stat(join(at(path), entry.name)).then(
                  (target) => target.isDirectory(),
                  () => false,
                )
              : entry.isDirectory();
            return folder ? `${entry.name}/` : entry.name;
          }),
        );
        return names.sort();
      }),
    exists: (path) =>
      stat(at(path)).then(
        () => true,
        () => false,
      ),
    remove: (path) => guarded("remove", path, () => rm(at(path), { recursive: true, force: true })),
    rename: (from, to) =>
      guarded("rename", `${from} to ${to}`, async () => {
        const [source, target] = [at(from), at(to)];
        if (source === target) return;
        await stat(source);
        await mkdir(dirname(target), { recursive: true });
        // A folder with files in it cannot be renamed over: it steps aside first, and back if the rename fails.
        const aside = temporary(target);
        const replaced = await stat(target).then(
          (entry) => entry.isDirectory(),
          () => false,
        );
        if (replaced) await rename(target, aside);
        try {
          await rename(source, target);
        } catch (error) {
          if (replaced) await rename(aside, target);
          throw error;
        }
        if (replaced) await rm(aside, { recursive: true, force: true });
        await flushFolder(dirname(target));
      }),
  };
}
