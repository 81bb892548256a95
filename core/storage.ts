/**
 * @file Storage that lives in memory: for tests, and for browsers without a file system.
 */
import { CohortError } from "./errors.ts";
import type { Storage } from "./host.ts";

/** "./a//b/" and "a/b" are one file. */
function normal(path: string): string {
  const root = path.startsWith("/") ? "/" : "";
  return (
    root +
    path
      .split("/")
      .filter((part) => part !== "" && part !== ".")
      .join("/")
  );
}

/** Joins folder and name with one '/'. */
export function joinPath(folder: string, name: string): string {
  return folder === "" || folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

/** Files in a map from path to bytes; what is read and written is copied. Folders exist where a file is in them. */
export function memoryStorage(initial: Record<string, Uint8Array | string> = {}): Storage {
  const files = new Map<string, Uint8Array>();
  const bytesOf = (data: Uint8Array | string) =>
    typeof data === "string" ? new TextEncoder().encode(data) : Uint8Array.from(data);
  for (const [path, data] of Object.entries(initial)) files.set(normal(path), bytesOf(data));

  const prefixOf = (path: string) => (path === "" || path === "/" ? path : `${path}/`);
  const isFolder = (path: string) => {
    const prefix = prefixOf(path);
    for (const name of files.keys()) if (name.startsWith(prefix)) return true;
    return false;
  };
  const get = (path: string): Uint8Array => {
    const found = files.get(normal(path));
    if (found) return found;
    if (isFolder(normal(path))) throw new CohortError("io", `storage: ${path} is a folder`, "name a file in it");
    throw new CohortError("io", `storage: cannot read ${path}: no such file or folder`, "check the path");
  };
  const put = (path: string, data: Uint8Array) => {
    const name = normal(path);
    if (name === "" || name === "/" || isFolder(name)) {
      throw new CohortError("io", `storage: cannot write ${path}, a folder has that name`, "choose another name");
    }
    for (let cut = name.lastIndexOf("/"); cut > 0; cut = name.lastIndexOf("/", cut - 1)) {
      if (files.has(name.slice(0, cut))) {
        throw new CohortError("io", `storage: cannot write ${path}, ${name.slice(0, cut)} is a file`, "choose another");
      }
    }
    files.set(name, data);
  };
  const drop = (path: string) => {
    files.delete(path);
    for (const name of [...files.keys()]) if (name.startsWith(prefixOf(path))) files.delete(name);
  };

  return {
    read: async (path) => Uint8Array.from(get(path)),
    readRange: async (path, offset, length) => get(path).slice(offset, offset + length),
    size: async (path) => get(path).length,
    write: async (path, data) => put(path, bytesOf(data)),
    async writeStream(path, pieces) {
      const parts: Uint8Array[] = [];
      let total = 0;
      for await (const piece of pieces) {
        parts.push(Uint8Array.from(piece));
        total += piece.length;
      }
      const whole = new Uint8Array(total);
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      put(path, whole);
    },
    async append(path, data) {
      const old = files.get(normal(path)) ?? new Uint8Array(0);
      const more = bytesOf(data);
      const whole = new Uint8Array(old.length + more.length);
      whole.set(old);
      whole.set(more, old.length);
      put(path, whole);
    },
    async list(path) {
      const folder = normal(path);
      if (files.has(folder)) throw new CohortError("io", `storage: ${path} is a file, not a folder`, "name a folder");
      const prefix = prefixOf(folder);
      const names = new Set<string>();
      for (const name of files.keys()) {
        if (!name.startsWith(prefix)) continue;
        const rest = name.slice(prefix.length);
        const cut = rest.indexOf("/");
        names.add(cut < 0 ? rest : rest.slice(0, cut + 1));
      }
      if (names.size === 0 && folder !== "" && folder !== "/") {
        throw new CohortError("io", `storage: cannot list ${path}: no such file or folder`, "check the path");
      }
      return [...names].sort();
    },
    exists: async (path) => files.has(normal(path)) || isFolder(normal(path)),
    remove: async (path) => drop(normal(path)),
    async rename(from, to) {
      const [source, target] = [normal(from), normal(to)];
      if (source === target) return;
      const prefix = prefixOf(source);
      const moved = [...files].filter(([name]) => name === source || name.startsWith(prefix));
      if (moved.length === 0) throw new CohortError("io", `storage: no file or folder ${from} to rename`, "check it");
      for (const [name] of moved) files.delete(name);
      drop(target);
      for (const [name, data] of moved) files.set(target + name.slice(source.length), data);
    },
  };
}
