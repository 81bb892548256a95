import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import {
  loadTensor,
  openSafetensors,
  openWeights,
  readTensorBytes,
  type TensorSource,
  writeSafetensors,
  writeWeights,
} from "../core/model/safetensors.ts";
import { memoryStorage } from "../core/storage.ts";

const shapes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 });
const names = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom("__proto__", "toString", "ünï/☃", "a.b.weight"));
const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const tensors = fc.uniqueArray(
  fc.record({ name: names.filter((name) => name !== "__metadata__"), shape: shapes }).chain(({ name, shape }) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = fc.array(finite, { minLength: count, maxLength: count }).map((list) => Float32Array.from(list));
    return values.map((data): TensorSource => ({ name, shape, dtype: "F32", data }));
  }),
  { selector: (source) => source.name, maxLength: 6 },
);

const refusal = async (work: Promise<unknown>): Promise<CohortError> => {
  const error = await work.then(
    () => new Error("nothing was refused"),
    (caught) => caught,
  );
  expect(error).toBeInstanceOf(CohortError);
  return error as CohortError;
};

/** A file of the given header and tensor bytes. */
function fileOf(header: unknown, data = new Uint8Array(0)): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}
const open = (bytes: Uint8Array) => openSafetensors(memoryStorage({ "m.safetensors": bytes }), "m.safetensors");

describe("writing and reading", () => {
  test("any tensors come back bit for bit, whole or in shards of any size", async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.integer({ min: 1, max: 200 }), async (sources, maxShardBytes) => {
        const storage = memoryStorage();
        await writeSafetensors(storage, "one/model.safetensors", sources);
        await writeWeights(storage, "many", sources, { maxShardBytes });
        for (const dir of ["one", "many"]) {
          const file = await openWeights(storage, dir);
          expect([...file.tensors.keys()].sort()).toEqual(sources.map(({ name }) => name).sort());
          for (const { name, shape, data } of sources) {
            const entry = file.tensors.get(name)!;
            expect(entry.shape).toEqual(shape);
            const got = await loadTensor(storage, entry);
            expect(Buffer.from(got.buffer).equals(Buffer.from((data as Float32Array).buffer))).toBe(true);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test("shards hold no more than asked for, and the index names them all", async () => {
    const storage = memoryStorage();
    const data = (n: number) => Float32Array.from({ length: n }, (_, k) => k);
    const sources = ["c", "a", "d", "b"].map(
      (name, k): TensorSource => ({ name, shape: [8 + k], dtype: "BF16", data: () => data(8 + k) }),
    );
    const files = await writeWeights(storage, "m", sources, { maxShardBytes: 40 });
    expect(files).toEqual(
      [1, 2].map((k) => `model-0000${k}-of-00002.safetensors`).concat("model.safetensors.index.json"),
    );
    const index = JSON.parse(new TextDecoder().decode(await storage.read("m/model.safetensors.index.json")));
    expect(index.metadata.total_size).toBe(2 * (8 + 9 + 10 + 11));
    expect(index.weight_map).toEqual({ a: files[0], b: files[0], c: files[1], d: files[1] });
    const { tensors: read } = await openWeights(storage, "m");
    expect([...(await loadTensor(storage, read.get("d")!))]).toEqual([...data(10)]);
  });

  test("the header is padded to 8 bytes, sorted by width then name, and says format pt", async () => {
    const storage = memoryStorage();
    const one = (name: string, dtype: TensorSource["dtype"], data: TensorSource["data"]) => ({
      name,
      shape: [1],
      dtype,
      data,
    });
    await writeSafetensors(storage, "m.safetensors", [
      one("z", "F16", Float32Array.of(2)),
      one("b", "F32", Float32Array.of(3)),
      one("state", "U32", Uint32Array.of(0xdeadbeef)),
      one("a", "F64", Float32Array.of(0.5)),
    ]);
    const bytes = await storage.read("m.safetensors");
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
    expect(Object.keys(JSON.parse(text))).toEqual(["__metadata__", "a", "b", "state", "z"]);
    const file = await openSafetensors(storage, "m.safetensors");
    expect(file.metadata).toEqual({ format: "pt" });
    expect([...(await readTensorBytes(storage, file.tensors.get("state")!))]).toEqual([0xef, 0xbe, 0xad, 0xde]);
    expect((await loadTensor(storage, file.tensors.get("a")!))[0]).toBe(0.5);
    expect((await refusal(loadTensor(storage, file.tensors.get("state")!))).message).toMatch(/"state" has dtype U32/);
  });

  test("a tensor larger than a piece is read and written in pieces", async () => {
    const storage = memoryStorage();
    const count = 3_000_001;
    const data = Float32Array.from({ length: count }, (_, k) => k);
    await writeSafetensors(storage, "m.safetensors", [{ name: "big", shape: [count], dtype: "F32", data }]);
    let longest = 0;
    const counting = {
      ...storage,
      readRange: (path: string, at: number, length: number) => {
        longest = Math.max(longest, length);
        return storage.readRange(path, at, length);
      },
    };
    const { tensors: read } = await openSafetensors(counting, "m.safetensors");
    const into = new Float32Array(count);
    expect(await loadTensor(counting, read.get("big")!, into)).toBe(into);
    expect(Buffer.from(into.buffer).equals(Buffer.from(data.buffer))).toBe(true);
    expect(longest).toBeLessThan(count * 4);
  });

  test("a value that float16 cannot hold is refused by name and index", async () => {
    const source: TensorSource = { name: "w", shape: [2], dtype: "F16", data: Float32Array.of(1, 1e6) };
    const error = await refusal(writeSafetensors(memoryStorage(), "m.safetensors", [source]));
    expect(error.message).toMatch(/"w" holds 1000000 at index 1/);
  });

  test("wrong counts, kinds and doubled names are refused", async () => {
    const write = (...sources: TensorSource[]) => refusal(writeSafetensors(memoryStorage(), "m.safetensors", sources));
    const w: TensorSource = { name: "w", shape: [3], dtype: "F32", data: new Float32Array(3) };
    expect((await write({ ...w, shape: [4] })).message).toMatch(/"w" \[4\] needs 4 elements, got 3/);
    expect((await write({ ...w, dtype: "U32" })).message).toMatch(/"w" is U32, its data Float32Array/);
    expect((await write(w, w)).message).toMatch(/two tensors are named "w"/);
  });
});

describe("damaged files", () => {
  const header = {
    a: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
    b: { dtype: "F16", shape: [], data_offsets: [8, 10] },
  };
  const good = fileOf(header, new Uint8Array(10));

  test("the file that is damaged below is good", async () => {
    expect((await open(good)).tensors.get("b")).toMatchObject({ shape: [], dtype: "F16", byteLength: 2 });
  });

  test("cut anywhere, it is refused", async () => {
    for (let cut = 0; cut < good.length; cut++) {
      const error = await refusal(open(good.slice(0, cut)));
      expect(error.code).toBe("bad-model");
      expect(error.message).toContain("m.safetensors");
    }
    expect((await refusal(open(good.slice(0, good.length - 1)))).message).toMatch(
      /truncated: its tensors need \d+ bytes/,
    );
  });

  test("with any bytes changed, it is read or refused with a CohortError, never anything else", async () => {
    let refused = 0;
    const change = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(change, async (changes) => {
        const bytes = good.slice();
        for (const [at, value] of changes) bytes[at] = value;
        const storage = memoryStorage({ m: bytes });
        try {
          for (const entry of (await openSafetensors(storage, "m")).tensors.values()) await loadTensor(storage, entry);
        } catch (error) {
          expect(error).toBeInstanceOf(CohortError);
          refused++;
        }
      }),
      { numRuns: 1000 },
    );
    expect(refused).toBeGreaterThan(300);
  });

  test.each([
    [{ ...header, b: { ...header.b, data_offsets: [4, 6] } }, 10, /"b" overlaps another/],
    [{ ...header, b: { ...header.b, data_offsets: [9, 11] } }, 11, /"b" follows a gap/],
    [{ ...header, b: { ...header.b, data_offsets: [8, 12] } }, 12, /"b": F16 \[\] needs 2 bytes, data_offsets give 4/],
    [{ ...header, b: { ...header.b, dtype: "F12" } }, 10, /"b": unknown dtype "F12"/],
    [{ ...header, b: { ...header.b, dtype: "constructor" } }, 10, /"b": unknown dtype "constructor"/],
    [{ ...header, b: { ...header.b, shape: [-1] } }, 10, /"b": bad shape \[-1\]/],
    [{ ...header, b: { ...header.b, shape: [2 ** 40, 2 ** 40] } }, 10, /"b": F16 .* needs/],
    [{ ...header, b: { ...header.b, data_offsets: [10, 8] } }, 10, /"b": bad data_offsets \[10,8\]/],
    [{ ...header, b: null }, 10, /"b": its entry is not an object/],
    [header, 12, /2 bytes follow the last tensor/],
    ["[]", 0, /expected a JSON object/],
    ["{", 0, /not JSON/],
  ])("%j with %i bytes", async (bad, bytes, message) => {
    expect((await refusal(open(fileOf(bad, new Uint8Array(bytes))))).message).toMatch(message);
  });

  test("an infinity or NaN is named with its index", async () => {
    const data = new Uint8Array(Float32Array.of(1, Number.NaN).buffer);
    const storage = memoryStorage({ m: fileOf({ w: { dtype: "F32", shape: [2], data_offsets: [0, 8] } }, data) });
    const { tensors: read } = await openSafetensors(storage, "m");
    expect((await refusal(loadTensor(storage, read.get("w")!))).message).toMatch(/"w" holds NaN at index 1/);
  });

  test("an index that names a missing shard, a missing tensor or a path outside is refused", async () => {
    const index = (map: unknown) => ({
      "model.safetensors.index.json": JSON.stringify({ weight_map: map }),
      "s.safetensors": good,
    });
    const attempt = async (map: unknown) => (await refusal(openWeights(memoryStorage(index(map)), ""))).message;
    expect(await attempt({ a: "t.safetensors" })).toMatch(/shard t.safetensors is missing/);
    expect(await attempt({ c: "s.safetensors" })).toMatch(/"c" is not in its shard s.safetensors/);
    expect(await attempt({ a: "../s.safetensors" })).toMatch(/names no shard/);
    expect(await attempt(undefined)).toMatch(/no weight_map/);
    expect((await refusal(openWeights(memoryStorage({ "d/x": "" }), "d"))).message).toMatch(
      /d has neither model.safetensors nor/,
    );
  });
});
