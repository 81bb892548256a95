/** @file A Storage across a message boundary: what one side has, the other uses. Page and worker each may have the files. */
import type { Storage } from "../core/host.ts";
import type { Port } from "./port.ts";

/** A Storage as functions whose arguments can be sent; a stream goes over as a Blob. */
export type StorageOffers = Omit<Storage, "writeStream"> & {
  writeBlob(path: string, data: Blob): Promise<void>;
};

/** @param storage asked at each call: it may be opened later than the port */
export function storageOffers(storage: () => Storage): StorageOffers {
  return {
    read: (path) => storage().read(path),
    readRange: (path, offset, length) => storage().readRange(path, offset, length),
    size: (path) => storage().size(path),
    write: (path, data) => storage().write(path, data),
    writeBlob: (path, data) => storage().writeStream(path, piecesOf(data.stream())),
    append: (path, data) => storage().append(path, data),
    list: (path) => storage().list(path),
    exists: (path) => storage().exists(path),
    remove: (path) => storage().remove(path),
    rename: (from, to) => storage().rename(from, to),
  };
}

/** The other side's files. */
export function storageOver(port: Port<StorageOffers>): Storage {
  return {
    read: (path) => port.call("read", path),
    readRange: (path, offset, length) => port.call("readRange", path, offset, length),
    size: (path) => port.call("size", path),
    write: (path, data) => port.call("write", path, data),
    async writeStream(path, pieces) {
      // The browser keeps a large Blob on disk: the pieces are never all in memory.
      let blob = new Blob([]);
      for await (const piece of pieces) blob = new Blob([blob, piece as Uint8Array<ArrayBuffer>]);
      await port.call("writeBlob", path, blob);
    },
    append: (path, data) => port.call("append", path, data),
    list: (path) => port.call("list", path),
    exists: (path) => port.call("exists", path),
    remove: (path) => port.call("remove", path),
    rename: (from, to) => port.call("rename", from, to),
  };
}

/** A stream in pieces. @param onBytes told the bytes so far */
export async function* piecesOf(stream: ReadableStream<Uint8Array>, onBytes?: (bytes: number) => void) {
  const reader = stream.getReader();
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.length;
      onBytes?.(bytes);
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
