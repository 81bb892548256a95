/** @file A fixed course of operations on a Storage, and what each gave: every storage must tell the same story. */
import { readText, type Storage } from "../../core/host.ts";

export async function storageTranscript(storage: Storage): Promise<string[]> {
  const lines: string[] = [];
  const tell = async (name: string, work: () => Promise<unknown>) => {
    try {
      lines.push(`${name}: ${JSON.stringify(await work())}`);
    } catch (error) {
      lines.push(`${name}: ${(error as { code?: string }).code}`);
    }
  };
  const text = (path: string) => tell(`read ${path}`, () => readText(storage, path));
  const list = (path: string) => tell(`list ${path}`, () => storage.list(path));
  const range = (path: string, offset: number, length: number) =>
    tell(`range ${path} ${offset} ${length}`, async () => [...(await storage.readRange(path, offset, length))]);
  async function* pieces(fails: boolean) {
    yield Uint8Array.of(10, 11, 12);
    yield new Uint8Array(0);
    if (fails) throw new Error("cut");
    yield Uint8Array.of(13);
  }

  // A folder that has lost its last file may stay or go; this one keeps one.
  await storage.write("s/keep", "");
  await storage.write("a/b/c.bin", Uint8Array.of(1, 2, 3, 4, 5));
  for (const [offset, length] of [[0, 5], [1, 3], [3, 99], [9, 2], [2, 0]]) await range("a/b/c.bin", offset, length); // biome-ignore format: a table
  await tell("size", () => storage.size("./a//b/c.bin"));
  await storage.write("a/b/c.bin", "é");
  await text("a/b/c.bin");
  await storage.write("a/b/empty", "");
  await tell("size", () => storage.size("a/b/empty"));
  await text("a/b/empty");
  await tell("append", () => storage.append("a/log", "1\n"));
  await storage.append("a/log", new TextEncoder().encode("ä2\n"));
  await text("a/log");
  await range("a/log", 1, 4);
  await tell("stream", () => storage.writeStream("s/t", pieces(false)));
  await range("s/t", 0, 9);
  await tell("stream that fails", () => storage.writeStream("s/t", pieces(true)).catch(() => "failed"));
  await range("s/t", 2, 2);
  await list("a");
  await list("a/b");
  await list(".");
  await tell("rename file", () => storage.rename("a/log", "x/y/log"));
  await list("a");
  await text("x/y/log");
  await storage.write("new/one", "1");
  await storage.write("new/deep/two", "2");
  await storage.write("old/three", "3");
  await tell("rename folder over folder", () => storage.rename("new", "old"));
  await list("old");
  await text("old/deep/two");
  await text("old/three");
  await tell("exists new", () => storage.exists("new"));
  await tell("exists old/deep", () => storage.exists("old/deep"));
  await tell("rename nothing", () => storage.rename("nowhere", "there"));
  await tell("rename file over file", () => storage.rename("s/t", "x/y/log"));
  await range("x/y/log", 0, 9);
  await tell("rename to itself", () => storage.rename("x/y", "x/y"));
  await tell("read a folder", () => storage.read("old"));
  await tell("read nothing", () => storage.read("old/nothing"));
  await tell("list nothing", () => storage.list("nothing"));
  await tell("list a file", () => storage.list("old/one"));
  await tell("write on a folder", () => storage.write("old/deep", "x"));
  await tell("write below a file", () => storage.write("old/one/x", "x"));
  await tell("remove nothing", () => storage.remove("nothing"));
  await tell("remove a folder", () => storage.remove("old"));
  await tell("exists", () => storage.exists("old/one"));
  const large = new Uint8Array(9 << 20).map((_, i) => (i * 31) >> 7);
  await storage.write("large", large);
  await tell("large", () => storage.size("large"));
  await range("large", (8 << 20) - 2, 5);
  await list(".");
  return lines;
}
