/**
 * @file Safetensors files: 8 bytes of header length, a JSON header, raw little-endian tensors; single or in shards.
 *
 * A reader holds one tensor and one piece of it in memory, never a file; a writer one piece. What a header says is
 * checked before a byte of a tensor is read, so that a damaged file ends in one clear sentence.
 * Format: https://github.com/huggingface/safetensors (README, "Format").
 */
import { CohortError } from "../errors.ts";
import { readText, type Storage } from "../host.ts";
import { joinPath } from "../storage.ts";
import { parseJsonObject, refuseLfsPointer } from "./checks.ts";
import { decodeFloats, dtypeBytes, encodeFloats, firstNonFinite, isFloatDtype } from "./dtype.ts";

/** One tensor of a file, as its header describes it. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The file that holds it, and the place of its bytes from the start of that file. */
  readonly path: string;
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** What a writer takes: values (rounded to `dtype`), or raw integers for the formats I32, U32 and U8. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "F32" | "BF16" | "F16" | "F64" | "I32" | "U32" | "U8";
  /** The values, or a function that fetches them when their turn comes. */
  readonly data: TensorData | (() => TensorData | Promise<TensorData>);
}
export type TensorData = Float32Array | Int32Array | Uint32Array | Uint8Array;

/** The reference implementation's own limit; a longer header is a damaged file. */
const maxHeaderBytes = 100_000_000;
/** Bytes read or written at a time. */
const pieceBytes = 1 << 23;

const damaged = (path: string, what: string, remedy = "download or copy the file again") =>
  new CohortError("bad-model", `safetensors: ${path}: ${what}`, remedy);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/**
 * Reads and checks a file's header.
 *
 * @throws CohortError "bad-model" for a header that is damaged or does not fit the file, "io" where it cannot be read
 */
export async function openSafetensors(storage: Storage, path: string): Promise<SafetensorsFile> {
  const size = await storage.size(path);
  const beginning = await storage.readRange(path, 0, Math.min(64, size));
  refuseLfsPointer(String.fromCharCode(...beginning), path);
  const prefix = beginning.subarray(0, 8);
  if (prefix.length < 8) throw damaged(path, `only ${size} bytes, a safetensors file has at least 8`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw damaged(path, `header length ${length} is over ${maxHeaderBytes}`, "is it a safetensors file? Download it");
  }
  const start = 8 + Number(length);
  if (start > size) throw damaged(path, `truncated: the header needs ${start} bytes, the file has ${size}`);
  const bytes = await storage.readRange(path, 8, Number(length));
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CohortError("bad-model", `safetensors: ${path}: the header is not UTF-8`, "download the file again", {
      cause: error,
    });
  }
  const header = parseJsonObject(text, path);

  const metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorEntry>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (typeof entry !== "object" || entry === null) throw damaged(path, "__metadata__ is not an object");
      for (const [key, value] of Object.entries(entry)) metadata[key] = String(value);
    } else {
      tensors.set(name, checkedEntry(path, name, entry, start));
    }
  }

  let end = start;
  for (const tensor of [...tensors.values()].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    if (tensor.offset !== end) {
      throw damaged(path, `tensor "${tensor.name}" ${tensor.offset < end ? "overlaps another" : "follows a gap"}`);
    }
    end += tensor.byteLength;
  }
  if (end > size) throw damaged(path, `truncated: its tensors need ${end} bytes, the file has ${size}`);
  if (end < size) throw damaged(path, `${size - end} bytes follow the last tensor`);
  return { metadata, tensors };
}

function checkedEntry(path: string, name: string, entry: unknown, start: number): TensorEntry {
  const fault = (what: string) => damaged(path, `tensor "${name}": ${what}`);
  if (typeof entry !== "object" || entry === null) throw fault("its entry is not an object");
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  const width = typeof dtype === "string" && Object.hasOwn(dtypeBytes, dtype) ? dtypeBytes[dtype] : undefined;
  if (width === undefined) throw fault(`unknown dtype ${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw fault(`bad shape ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw fault(`bad data_offsets ${JSON.stringify(offsets)}`);
  }
  const byteLength = offsets[1] - offsets[0];
  const wanted = elementCount(shape) * width;
  if (byteLength !== wanted) {
    throw fault(`${dtype} [${shape.join(", ")}] needs ${wanted} bytes, data_offsets give ${byteLength}`);
  }
  return { name, dtype: dtype as string, shape, path, offset: start + offsets[0], byteLength };
}

/** Raw bytes of a tensor of any format. */
export async function readTensorBytes(storage: Storage, entry: TensorEntry): Promise<Uint8Array> {
  const bytes = await storage.readRange(entry.path, entry.offset, entry.byteLength);
  if (bytes.length !== entry.byteLength) throw damaged(entry.path, `tensor "${entry.name}" is cut short`);
  return bytes;
}

/**
 * Reads a tensor's values as float32 (F64 is rounded), piece by piece.
 *
 * @param into takes the values where given, for instance a view of WASM memory; its length is the element count
 * @throws CohortError "bad-model" for a format that holds no floats, and for an infinity or NaN (with its index)
 */
export async function loadTensor(storage: Storage, entry: TensorEntry, into?: Float32Array): Promise<Float32Array> {
  const { dtype, name } = entry;
  if (!isFloatDtype(dtype)) {
    throw damaged(
      entry.path,
      `tensor "${name}" has dtype ${dtype}, which is no float format that can be loaded`,
      "convert the weights to F32, BF16 or F16 (quantised models are not supported)",
    );
  }
  const count = elementCount(entry.shape);
  const values = into ?? new Float32Array(count);
  if (values.length !== count) {
    throw new CohortError(
      "bad-input",
      `loadTensor: "${name}" has ${count} elements, the target has ${values.length}`,
      "pass a target of the tensor's size",
    );
  }
  for (let done = 0; done < entry.byteLength; done += pieceBytes) {
    const wanted = Math.min(pieceBytes, entry.byteLength - done);
    const piece = await storage.readRange(entry.path, entry.offset + done, wanted);
    if (piece.length !== wanted) throw damaged(entry.path, `tensor "${name}" is cut short`);
    decodeFloats(piece, dtype, values, done / dtypeBytes[dtype]);
  }
  const at = firstNonFinite(values);
  if (at >= 0) {
    const what = Number.isNaN(values[at]) ? "NaN" : values[at] > 0 ? "inf" : "-inf";
    throw damaged(entry.path, `tensor "${name}" holds ${what} at index ${at}`, "use weights that are all finite");
  }
  return values;
}

/**
 * Opens the weights of a folder: `<base>.safetensors`, or the shards that `<base>.safetensors.index.json` names.
 *
 * @throws CohortError "bad-model" where there are none, or where index and shards disagree
 */
export async function openWeights(storage: Storage, dir: string, base = "model"): Promise<SafetensorsFile> {
  const single = joinPath(dir, `${base}.safetensors`);
  if (await storage.exists(single)) return openSafetensors(storage, single);
  const indexPath = joinPath(dir, `${base}.safetensors.index.json`);
  if (!(await storage.exists(indexPath))) {
    throw new CohortError(
      "bad-model",
      `openWeights: ${dir} has neither ${base}.safetensors nor ${base}.safetensors.index.json`,
      "download the model's safetensors files (other weight formats are not read)",
    );
  }
  const index = parseJsonObject(await readText(storage, indexPath), indexPath);
  const map = index.weight_map;
  if (typeof map !== "object" || map === null) throw damaged(indexPath, "it has no weight_map");
  const shards = new Map<string, SafetensorsFile>();
  const tensors = new Map<string, TensorEntry>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== "string" || !/^[^/\\]+\.safetensors$/.test(file)) {
      throw damaged(indexPath, `tensor "${name}" is said to be in ${JSON.stringify(file)}, which names no shard`);
    }
    if (!shards.has(file)) {
      const path = joinPath(dir, file);
      if (!(await storage.exists(path))) throw damaged(indexPath, `shard ${file} is missing`, "download it");
      shards.set(file, await openSafetensors(storage, path));
    }
    const entry = shards.get(file)?.tensors.get(name);
    if (!entry) throw damaged(indexPath, `tensor "${name}" is not in its shard ${file}`);
    tensors.set(name, entry);
  }
  return { metadata: [...shards.values()][0]?.metadata ?? {}, tensors };
}

/**
 * Writes one file. Tensors are ordered by width of their elements, then name, as the reference writer orders them, so
 * that each is aligned; `data` functions are called one at a time in that order.
 *
 * @throws CohortError "bad-input" for a wrong element count, a doubled name, or a value that overflows F16
 */
export async function writeSafetensors(
  storage: Storage,
  path: string,
  sources: Iterable<TensorSource>,
  metadata: Record<string, string> = { format: "pt" },
): Promise<void> {
  const ordered = orderTensors(sources);
  // A map, for a plain object would take a tensor named "__proto__" as its prototype.
  const header = new Map<string, unknown>([["__metadata__", metadata]]);
  let end = 0;
  for (const source of ordered) {
    if (header.has(source.name)) {
      throw new CohortError("bad-input", `writeSafetensors: two tensors are named "${source.name}"`, "rename one");
    }
    const bytes = byteLengthOf(source);
    header.set(source.name, { dtype: source.dtype, shape: source.shape, data_offsets: [end, end + bytes] });
    end += bytes;
  }
  const json = JSON.stringify(Object.fromEntries(header));
  const text = new TextEncoder().encode(json);
  const padded = text.length + ((8 - (text.length % 8)) % 8);
  const head = new Uint8Array(8 + padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(text, 8);

  await storage.writeStream(path, pieces(head, ordered));
}

async function* pieces(head: Uint8Array, ordered: TensorSource[]): AsyncGenerator<Uint8Array> {
  yield head;
  for (const source of ordered) {
    const data = typeof source.data === "function" ? await source.data() : source.data;
    const count = elementCount(source.shape);
    if (data.length !== count) {
      throw new CohortError(
        "bad-input",
        `writeSafetensors: "${source.name}" [${source.shape.join(", ")}] needs ${count} elements, got ${data.length}`,
        "pass data of the tensor's shape",
      );
    }
    const step = pieceBytes / 8;
    for (let at = 0; at < count; at += step) {
      const part = data.subarray(at, Math.min(at + step, count));
      yield encodePart(source, part, at);
    }
  }
}

function encodePart(source: TensorSource, part: TensorData, at: number): Uint8Array {
  const { dtype, name } = source;
  if (isFloatDtype(dtype) !== part instanceof Float32Array) {
    throw new CohortError(
      "bad-input",
      `writeSafetensors: "${name}" is ${dtype}, its data ${part.constructor.name}`,
      "pass a Float32Array for float formats and integers for the others",
    );
  }
  if (!(part instanceof Float32Array)) {
    return Uint8Array.from(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  const bytes = encodeFloats(part, dtype as "F32" | "BF16" | "F16" | "F64");
  if (dtype === "F16") {
    const halves = new Uint16Array(bytes.buffer);
    for (let i = 0; i < halves.length; i++) {
      if ((halves[i] & 0x7fff) === 0x7c00 && Number.isFinite(part[i])) {
        throw new CohortError(
          "bad-input",
          `writeSafetensors: "${name}" holds ${part[i]} at index ${at + i}, which F16 cannot hold`,
          "save as BF16 or F32",
        );
      }
    }
  }
  return bytes;
}

const byteLengthOf = (source: TensorSource) => elementCount(source.shape) * dtypeBytes[source.dtype];

function orderTensors(sources: Iterable<TensorSource>): TensorSource[] {
  return [...sources].sort(
    (a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
}

/**
 * Writes `<base>.safetensors`, or, where that would exceed `maxShardBytes` of tensors, shards and their index.
 *
 * @returns the names of the files written
 */
export async function writeWeights(
  storage: Storage,
  dir: string,
  sources: Iterable<TensorSource>,
  { base = "model", maxShardBytes = 5e9, metadata = { format: "pt" } as Record<string, string> } = {},
): Promise<string[]> {
  const shards: TensorSource[][] = [[]];
  let filled = 0;
  let total = 0;
  for (const source of orderTensors(sources)) {
    const bytes = byteLengthOf(source);
    if (filled > 0 && filled + bytes > maxShardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards[shards.length - 1].push(source);
    filled += bytes;
    total += bytes;
  }
  if (shards.length === 1) {
    await writeSafetensors(storage, joinPath(dir, `${base}.safetensors`), shards[0], metadata);
    return [`${base}.safetensors`];
  }
  const number = (n: number) => String(n).padStart(5, "0");
  const files = shards.map((_, k) => `${base}-${number(k + 1)}-of-${number(shards.length)}.safetensors`);
  const map: [name: string, file: string][] = [];
  for (const [k, shard] of shards.entries()) {
    await writeSafetensors(storage, joinPath(dir, files[k]), shard, metadata);
    for (const source of shard) map.push([source.name, files[k]]);
  }
  const index = `${base}.safetensors.index.json`;
  const sorted = Object.fromEntries(map.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  const text = JSON.stringify({ metadata: { total_size: total }, weight_map: sorted }, null, 2);
  await storage.write(joinPath(dir, index), `${text}\n`);
  return [...files, index];
}
