import { chmod, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { readText, type Storage } from "../core/host.ts";
import { memoryStorage } from "../core/storage.ts";
import { nodeStorage } from "../hosts/storage.ts";

const folders: string[] = [];
async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "cohort-storage-"));
  folders.push(made);
  return made;
}
afterEach(async () => {
  for (const made of folders.splice(0)) await rm(made, { recursive: true, force: true });
});

const refusal = async (work: Promise<unknown>): Promise<CohortError> => {
  const error = await work.then(
    () => new Error("nothing was refused"),
    (caught) => caught,
  );
  expect(error).toBeInstanceOf(CohortError);
  expect((error as CohortError).code).toBe("io");
  return error as CohortError;
};
const bytes = (...values: number[]) => Uint8Array.from(values);

describe.each([
  ["memoryStorage", async () => memoryStorage()],
  ["nodeStorage", async () => nodeStorage(await folder())],
] as [string, () => Promise<Storage>][])("%s", (_, make) => {
  test("a file written is read, whole and in ranges", async () => {
    const storage = await make();
    await storage.write("a/b/c.bin", bytes(1, 2, 3, 4, 5));
    expect([...(await storage.read("a/b/c.bin"))]).toEqual([1, 2, 3, 4, 5]);
    expect([...(await storage.readRange("a/b/c.bin", 1, 3))]).toEqual([2, 3, 4]);
    expect([...(await storage.readRange("a/b/c.bin", 3, 99))]).toEqual([4, 5]);
    expect([...(await storage.readRange("a/b/c.bin", 9, 2))]).toEqual([]);
    expect(await storage.size("./a//b/c.bin")).toBe(5);
    await storage.write("a/b/c.bin", "é");
    expect(await readText(storage, "a/b/c.bin")).toBe("é");
    expect(await storage.list("a/b")).toEqual(["c.bin"]);
  });

  test("folders end in '/', names are sorted", async () => {
    const storage = await make();
    for (const name of ["d/z", "d/a/x", "d/b"]) await storage.write(name, "");
    expect(await storage.list("d")).toEqual(["a/", "b", "z"]);
    expect(await storage.exists("d/a")).toBe(true);
    expect(await storage.exists("d/c")).toBe(false);
  });

  test("append makes the file and goes on", async () => {
    const storage = await make();
    await storage.append("log/x.jsonl", "1\n");
    await storage.append("log/x.jsonl", "2\n");
    expect(await readText(storage, "log/x.jsonl")).toBe("1\n2\n");
  });

  test("a stream of pieces is one file; where a piece fails the old file stays and nothing else is left", async () => {
    const storage = await make();
    await storage.writeStream("s/f", [bytes(1), bytes(), bytes(2, 3)]);
    expect([...(await storage.read("s/f"))]).toEqual([1, 2, 3]);
    async function* failing() {
      yield bytes(9);
      throw new CohortError("io", "source: broke");
    }
    expect((await refusal(storage.writeStream("s/f", failing()))).message).toBe("source: broke");
    expect([...(await storage.read("s/f"))]).toEqual([1, 2, 3]);
    expect(await storage.list("s")).toEqual(["f"]);
  });

  test("rename replaces files and whole folders; remove is silent where there is nothing", async () => {
    const storage = await make();
    await storage.write("new/a", "1");
    await storage.write("new/sub/b", "2");
    await storage.write("old/c", "3");
    await storage.rename("new", "old");
    expect(await storage.list("old")).toEqual(["a", "sub/"]);
    expect(await storage.exists("new")).toBe(false);
    await storage.write("f", "4");
    await storage.rename("f", "old/a");
    expect(await readText(storage, "old/a")).toBe("4");
    await storage.remove("old/sub");
    await storage.remove("never");
    expect(await storage.list("old")).toEqual(["a"]);
    expect((await refusal(storage.rename("never", "x"))).message).toContain("never");
  });

  test("errors name the path", async () => {
    const storage = await make();
    await storage.write("d/f", "");
    expect((await refusal(storage.read("no"))).message).toContain("no: no such file");
    expect((await refusal(storage.size("no"))).message).toContain("no: no such file");
    expect((await refusal(storage.readRange("no", 0, 1))).message).toContain("no: no such file");
    expect((await refusal(storage.list("no"))).message).toContain("no: no such file");
    expect((await refusal(storage.read("d"))).message).toMatch(/d.*is a folder/);
    expect((await refusal(storage.write("d/f/g", ""))).message).toMatch(/is a file/);
    await refusal(storage.write("d", ""));
    await refusal(storage.list("d/f"));
  });

  test("what is handed over or given out is not shared", async () => {
    const storage = await make();
    const given = bytes(1, 2);
    await storage.write("f", given);
    given[0] = 9;
    (await storage.read("f"))[1] = 9;
    expect([...(await storage.read("f"))]).toEqual([1, 2]);
  });
});

test("both storages answer any sequence of operations alike", async () => {
  const file = fc.constantFrom("a", "b", "d/x", "d/e/y");
  const operation = fc.oneof(
    fc.tuple(fc.constantFrom("write" as const, "append" as const), file, fc.string()),
    fc.tuple(fc.constantFrom("remove" as const, "exists" as const, "read" as const, "size" as const), file),
    fc.tuple(fc.constant("rename" as const), file, file),
    fc.tuple(fc.constantFrom("list" as const, "exists" as const), fc.constantFrom(".", "d", "d/e")),
    fc.tuple(fc.constant("readRange" as const), file, fc.nat(5), fc.nat(5)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 15 }), async (operations) => {
      const storages = [memoryStorage(), nodeStorage(await folder())];
      // An emptied folder stays on a disk and not in memory; these files keep every folder from being empty.
      for (const storage of storages) for (const kept of ["kept", "d/kept", "d/e/kept"]) await storage.write(kept, "");
      for (const [verb, ...args] of operations) {
        const [memory, disk] = await Promise.all(
          storages.map((storage) =>
            (storage[verb] as (...given: unknown[]) => Promise<unknown>)(...args).then(
              (value) => (value instanceof Uint8Array ? [...value] : value),
              (error) => (error instanceof CohortError ? "refused" : error),
            ),
          ),
        );
        expect(memory).toEqual(disk);
      }
    }),
    { numRuns: 60 },
  );
});

describe("nodeStorage on a disk that refuses", () => {
  test("a full disk is told of, with the path", async ({ skip }) => {
    // /dev/full takes no byte.
    const full = await writeFile("/dev/full", "x").then(
      () => "absent",
      (error) => error.code,
    );
    if (full !== "ENOSPC") skip("this system has no /dev/full");
    const dir = await folder();
    await symlink("/dev/full", join(dir, "log"));
    const error = await refusal(nodeStorage(dir).append("log", "text"));
    expect(error.message).toMatch(/cannot append to log: the disk is full — free some space/);
  });

  test("a folder without write permission", async ({ skip }) => {
    if (process.getuid?.() === 0) skip("the superuser may write anywhere");
    const dir = await folder();
    await chmod(dir, 0o500);
    expect((await refusal(nodeStorage(dir).write("f", ""))).message).toMatch(/cannot write f: permission denied/);
  });

  test("no temporary file is left where the target is a folder", async () => {
    const dir = await folder();
    const storage = nodeStorage(dir);
    await storage.write("d/f", "1");
    expect((await refusal(storage.write("d", "2"))).message).toMatch(/cannot write d/);
    expect(await readdir(dir)).toEqual(["d"]);
  });
});
