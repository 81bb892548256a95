/**
 * @file The WASM backend: kernels.wasm over one shared memory, on 1 … N threads. It is the standard that every other
 * backend is compared with. Thin: memory management and a command list; all arithmetic is in core/wasm.
 */
import {
  checkArguments,
  checkBounds,
  checkBuffer,
  checkLength,
  type Device,
  type DeviceBuffer,
  wordType,
} from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import { unpackModule } from "../core/inflate.ts";
import { commandNames, commands, type FormName, type KernelName } from "../core/kernels.ts";
import type { HostMath, Numeric } from "../core/math.ts";
import { slicesOf } from "./cpu-slices.ts";
import type { Spawn } from "./threads.ts";

interface KernelExports extends HostMath {
  configure(control: number, thread: number, threads: number): void;
  run(program: number, count: number): void;
  attention_scratch(keys: number, heads: number, dim: number, precision: number): number;
  rope_table(cos: number, sin: number, frequencies: number, rows: number, half: number): void;
  normals(x: number, n: number, std: number): void;
  philox_fill(out: number, n: number, k0: number, k1: number, c1: number, c2: number, c3: number): void;
  elementary(out: number, x: number, n: number, which: number): void;
}

const PAGE = 65536;
/** Everything starts on a cache line. */
const ALIGN = 64;
/** The control block, and the words of it that are written here (core/wasm/parallel.ts). */
const CONTROL_WORDS = 48;
const STOP = 3;
const SCRATCH = 34;
const SCRATCH_BYTES = 35;
/** What STATE grows by at each command. */
const GENERATION = 0x200;
/** A product whose right operand is not kept packs it in blocks of so many columns and inner elements: 1 MB, 2 MB split. */
const BLOCK = 512;
const PACKED_BYTES = BLOCK * BLOCK * 4 * 2;
/** A thread's left panels of a product, 60 × 512 split, and a tile. */
const OWN_SCRATCH = 60 * 512 * 4 * 2 + 4096;
const PROGRAM_WORDS = 1 << 16;

/** First-fit allocator with coalescing; addresses ascend. */
class Heap {
  used = 0;
  peak = 0;
  #free: { at: number; bytes: number }[] = [];
  #end: number;
  readonly #grow: (end: number) => void;

  constructor(start: number, grow: (end: number) => void) {
    this.#end = Math.ceil(start / ALIGN) * ALIGN;
    this.#grow = grow;
  }

  take(bytes: number): number {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    this.used += size;
    this.peak = Math.max(this.peak, this.used);
    for (let i = 0; i < this.#free.length; i++) {
      const hole = this.#free[i];
      if (hole.bytes < size) continue;
      const at = hole.at;
      if (hole.bytes === size) this.#free.splice(i, 1);
      else {
        hole.at += size;
        hole.bytes -= size;
      }
      return at;
    }
    const last = this.#free.at(-1);
    if (last && last.at + last.bytes === this.#end) {
      this.#grow(last.at + size);
      this.#free.pop();
      this.#end = last.at + size;
      return last.at;
    }
    const at = this.#end;
    this.#grow(at + size);
    this.#end = at + size;
    return at;
  }

  give(at: number, bytes: number): void {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    this.used -= size;
    let i = 0;
    for (let end = this.#free.length; i < end; ) {
      const middle = (i + end) >> 1;
      if (this.#free[middle].at < at) i = middle + 1;
      else end = middle;
    }
    this.#free.splice(i, 0, { at, bytes: size });
    const next = this.#free[i + 1];
    if (next && at + size === next.at) {
      this.#free[i].bytes += next.bytes;
      this.#free.splice(i + 1, 1);
    }
    const before = this.#free[i - 1];
    if (before && before.at + before.bytes === at) {
      before.bytes += this.#free[i].bytes;
      this.#free.splice(i, 1);
    }
  }
}

interface CpuBuffer extends DeviceBuffer {
  at: number;
  /** How often it was written: says whether a form of it is still true. */
  written: number;
  packs: Pack[] | null;
  /** A cache of keys or values, in the form that decoding reads; true while `written` is as it was. */
  kept: { at: number; bytes: number; width: number; dim: number; byKey: 0 | 1; written: number } | null;
}

/** A right operand of matmul in panels, kept while the buffer does not change. */
interface Pack {
  readonly n: number;
  readonly k: number;
  readonly bK: number;
  readonly bCol: number;
  readonly precision: number;
  /** The buffer's count when it was packed, or first used. */
  written: number;
  /** 0: not packed. */
  at: number;
  readonly bytes: number;
}

/** What `run` needs to know of a command. */
interface Shape {
  readonly id: number;
  readonly pointers: number;
  readonly integers: number;
  /** Which buffers it writes. */
  readonly writes: readonly number[];
}
const shapes = new Map<KernelName | FormName, Shape>(
  commandNames.map((name, id) => {
    const { buffers, dims } = commands[name];
    const access = Object.values(buffers);
    const writes = access.flatMap((a, i) => (a === "r" ? [] : [i]));
    return [name, { id, pointers: access.length, integers: access.length + dims.length, writes }];
  }),
);

/** Rows up to which a product gains from a packed right operand: more of them hide the packing. */
const PACK_ROWS = 256;
/** Bytes of packed operands at a time. */
export const PACK_BYTES = 2 ** 28;

/** A buffer from word `offset` on, for a command. */
function partOf(buffer: CpuBuffer, offset: number): CpuBuffer {
  return offset === 0 ? buffer : { ...buffer, at: buffer.at === 0 ? 0 : buffer.at + 4 * offset };
}

/** Whether this engine has relaxed SIMD (i32x4.relaxed_trunc in a six-instruction module). */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(
    new Uint8Array([
      0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
      253, 128, 2, 11,
    ]),
  );
}

export class CpuDevice implements Device, Numeric {
  readonly kind = "wasm";
  readonly name: string;
  readonly threads: number;
  readonly exports: KernelExports;
  readonly #memory: WebAssembly.Memory;
  readonly #heap: Heap;
  readonly #control: number;
  readonly #program: number;
  readonly #workers: { terminate(): void }[] = [];
  /** A block of a right operand, packed for one product. */
  readonly #block: number;
  readonly #slices: number | undefined;
  #packed = 0;
  #words = 0;
  #commands = 0;
  #scratchBytes = 0;
  #scratchAt = 0;
  #f32!: Float32Array;
  #u32!: Uint32Array;
  #closed = false;

  private constructor(
    instance: WebAssembly.Instance,
    memory: WebAssembly.Memory,
    threads: number,
    name: string,
    slices: number | undefined,
  ) {
    this.exports = instance.exports as unknown as KernelExports;
    this.#memory = memory;
    this.threads = threads;
    this.name = name;
    this.#slices = slices;
    this.#views();
    // AssemblyScript's static data lies below 16 kB; hosts own everything above.
    this.#heap = new Heap(16384, (end) => this.#ensure(end));
    this.#control = this.#heap.take(CONTROL_WORDS * 4);
    this.#u32.fill(0, this.#control >> 2, (this.#control >> 2) + CONTROL_WORDS);
    this.#program = this.#heap.take(PROGRAM_WORDS * 4);
    this.#block = this.#heap.take(PACKED_BYTES);
    this.#scratch(OWN_SCRATCH);
    this.exports.configure(this.#control, 0, threads);
  }

  /**
   * @param threads 1 … 64; the bits never depend on it
   * @param options.relaxed use relaxed SIMD; default: where the engine has it
   * @param options.slices into how many pieces each command is cut for the threads; default: by how long it takes. The bits
   *   never depend on it
   * @throws CohortError where threads are asked for without a way to start them
   */
  static async create(
    threads: number,
    options: { spawn?: Spawn; relaxed?: boolean; slices?: number } = {},
  ): Promise<CpuDevice> {
    if (!Number.isInteger(threads) || threads < 1 || threads > 64) {
      throw new CohortError("bad-config", `threads is ${threads}`, "give a whole number from 1 to 64");
    }
    if (threads > 1 && !options.spawn) {
      throw new CohortError("bad-config", `${threads} threads were asked for where none can be started`, "use 1");
    }
    const useRelaxed = options.relaxed ?? hasRelaxedSimd();
    // Two builds of the same size, of which an engine can use one.
    const { default: packed } = useRelaxed
      ? await import("../core/generated/wasm-kernels-relaxed.ts")
      : await import("../core/generated/wasm-kernels.ts");
    const module = await WebAssembly.compile(unpackModule(packed));
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
    const abort = () => {
      throw new CohortError("device", "a WASM kernel aborted", "this is a defect in Cohort; please report it");
    };
    const instance = await WebAssembly.instantiate(module, { env: { memory, abort } });
    const name = `WASM, ${useRelaxed ? "relaxed " : ""}SIMD, ${threads} thread${threads > 1 ? "s" : ""}`;
    const device = new CpuDevice(instance, memory, threads, name, options.slices);
    const starts = Array.from({ length: threads - 1 }, (_, i) => ({
      module,
      memory,
      control: device.#control,
      index: i + 1,
      threads,
    }));
    device.#workers.push(...(await Promise.all(starts.map((start) => options.spawn!(start)))));
    return device;
  }

  get memory(): { used: number; peak: number } {
    return { used: this.#heap.used, peak: this.#heap.peak };
  }

  alloc(words: number, label: string): DeviceBuffer {
    this.#open("alloc");
    checkLength(words, label);
    // 16 bytes more: vector kernels may run past the end.
    return this.#buffer(this.#heap.take(words * 4 + 16), words, label);
  }

  free(buffer: DeviceBuffer): void {
    checkBuffer("free", buffer, this);
    const b = buffer as CpuBuffer;
    if (b.at === 0) throw new CohortError("bad-input", `free: ${b.label} was freed before`, "free a buffer once");
    this.#heap.give(b.at, b.length * 4 + 16);
    b.at = 0;
    if (b.packs) for (const pack of b.packs) this.#drop(pack);
    if (b.kept) this.#heap.give(b.kept.at, b.kept.bytes);
    b.kept = null;
  }

  write(buffer: DeviceBuffer, data: Float32Array | Uint32Array | Int32Array, offset = 0): void {
    const type = wordType(data);
    this.#bounds("write", buffer, offset, data.length);
    this.#flush();
    (buffer as CpuBuffer).written++;
    const from = ((buffer as CpuBuffer).at >>> 2) + offset;
    if (type === "Float32Array") this.#f32.set(data, from);
    else this.#u32.set(data, from);
  }

  async readF32(buffer: DeviceBuffer, offset = 0, length = (buffer?.length ?? 0) - offset): Promise<Float32Array> {
    this.#bounds("read", buffer, offset, length);
    this.#flush();
    const from = ((buffer as CpuBuffer).at >>> 2) + offset;
    return this.#f32.slice(from, from + length);
  }

  async readU32(buffer: DeviceBuffer, offset = 0, length = (buffer?.length ?? 0) - offset): Promise<Uint32Array> {
    this.#bounds("read", buffer, offset, length);
    this.#flush();
    const from = ((buffer as CpuBuffer).at >>> 2) + offset;
    return this.#u32.slice(from, from + length);
  }

  run(name: KernelName, ...args: (DeviceBuffer | number)[]): void {
    this.#open("run");
    checkArguments(name, args, this);
    if (name === "attention_fwd" || name === "attention_bwd") {
      const { pointers } = shapes.get(name)!;
      const { dims } = commands[name];
      const dim = (label: string) => args[pointers + dims.indexOf(label)] as number;
      const [keys, heads] = [dim("maxKeys"), dim("heads")];
      this.#scratch(this.exports.attention_scratch(keys, heads, dim("dim"), dim("precision")));
    }
    if (name === "scatter_rows") this.#scatter(args);
    else if (name === "matmul") this.#product(args);
    else if (name !== "attention_fwd" || !this.#useKept(args)) this.#command(name, args);
  }

  #command(name: KernelName | FormName, args: readonly (DeviceBuffer | number)[]): void {
    const { id, pointers, integers, writes } = shapes.get(name)!;
    if (this.#words + args.length + 1 > PROGRAM_WORDS) this.#flush();
    let at = (this.#program >>> 2) + this.#words;
    const slices = this.#slices ?? slicesOf(name, args, pointers, this.threads);
    this.#u32[at++] = id | ((args.length + 1) << 8) | (slices << 16);
    for (let i = 0; i < args.length; i++, at++) {
      const arg = args[i];
      if (typeof arg === "number") {
        if (i < integers) this.#u32[at] = arg;
        else this.#f32[at] = arg;
      } else {
        if ((arg as CpuBuffer).at === 0) {
          throw new CohortError(
            "bad-input",
            `kernel ${name}: buffer ${arg.label} was freed`,
            "keep it until it is used",
          );
        }
        this.#u32[at] = (arg as CpuBuffer).at;
      }
    }
    for (const i of writes) (args[i] as CpuBuffer).written++;
    this.#words += args.length + 1;
    this.#commands++;
  }

  #buffer(at: number, length: number, label: string): CpuBuffer {
    return { length, label, owner: this, at, written: 0, packs: null, kept: null };
  }

  #view({ at, bytes }: { at: number; bytes: number }): CpuBuffer {
    return this.#buffer(at, bytes / 4, "kept form");
  }

  /** A product reads its right operand packed: as it is kept, or packed for this once, a block after another. */
  #product(args: readonly (DeviceBuffer | number)[]): void {
    const [c, a, b, bias] = args as CpuBuffer[];
    const [m, n, k, aRow, aK, bK, bCol, ldc, mode, precision] = args.slice(4) as number[];
    const kept = this.#packOf(b, m, n, k, bK, bCol, precision);
    if (kept) {
      this.#command("matmul", [c, a, this.#view(kept), bias, m, n, k, aRow, aK, 0, 0, ldc, mode, precision]);
      return;
    }
    const block = this.#view({ at: this.#block, bytes: PACKED_BYTES });
    for (let j = 0; j < n; j += BLOCK) {
      const columns = Math.min(BLOCK, n - j);
      for (let i = 0; i < Math.max(k, 1); i += BLOCK) {
        const inner = Math.min(BLOCK, k - i);
        this.#command("pack_right", [block, partOf(b, i * bK + j * bCol), columns, inner, bK, bCol, precision]);
        const operands = [partOf(c, j), partOf(a, i * aK), block, partOf(bias, mode === 2 ? j : 0)];
        const rest = [aRow, aK, 0, 0, ldc, i > 0 ? 1 : mode, precision];
        this.#command("matmul", [...operands, m, columns, inner, ...rest]);
      }
    }
    c.written++;
  }

  /** The packed form of a right operand where there is one; it is made at the second use unchanged. */
  #packOf(b: CpuBuffer, m: number, n: number, k: number, bK: number, bCol: number, precision: number): Pack | null {
    const same = (p: Pack) => p.n === n && p.k === k && p.bK === bK && p.bCol === bCol && p.precision === precision;
    const pack = b.packs?.find(same);
    if (!pack) {
      if (m > PACK_ROWS || k === 0) return null;
      const bytes = Math.ceil(n / 8) * 8 * k * (precision === 24 ? 8 : 4);
      b.packs ??= [];
      b.packs.push({ n, k, bK, bCol, precision, written: b.written, at: 0, bytes });
      return null;
    }
    if (pack.written !== b.written) {
      this.#drop(pack);
      pack.written = b.written;
      return null;
    }
    if (pack.at === 0) {
      if (m > PACK_ROWS || this.#packed + pack.bytes > PACK_BYTES) return null;
      pack.at = this.#heap.take(pack.bytes);
      this.#packed += pack.bytes;
      this.#command("pack_right", [this.#view(pack), b, n, k, bK, bCol, precision]);
    }
    return pack;
  }

  /** Decoding (a query a sequence) reads a cache in a second form, made at the first use and kept up by `#scatter`. */
  #useKept(args: readonly (DeviceBuffer | number)[]): boolean {
    const [out, stats, q, k, v, table] = args as CpuBuffer[];
    const [sequences, heads, kvHeads, dim, , precision] = args.slice(6) as number[];
    const width = kvHeads * dim;
    if (precision !== 12 || q.length !== sequences * heads * dim) return false;
    if (k.length === sequences * width) return false;
    this.#keep(k, width, dim, 1);
    this.#keep(v, width, dim, 0);
    const forms = [this.#view(k.kept!), this.#view(v.kept!)];
    this.#command("attention_kept", [out, stats, q, k, v, ...forms, table, ...args.slice(6)]);
    return true;
  }

  #keep(buffer: CpuBuffer, width: number, dim: number, byKey: 0 | 1): void {
    const rows = Math.floor(buffer.length / width);
    const { kept } = buffer;
    if (kept && (kept.width !== width || kept.dim !== dim || kept.byKey !== byKey)) {
      this.#heap.give(kept.at, kept.bytes);
      buffer.kept = null;
    }
    if (!buffer.kept) {
      // 32 bytes more: the last row's vectors may run past the end.
      const bytes = Math.ceil(rows / 8) * 8 * width * 4 + 32;
      buffer.kept = { at: this.#heap.take(bytes), bytes, width, dim, byKey, written: -1 };
    }
    if (buffer.kept.written === buffer.written) return;
    this.#command("keep_rows", [this.#view(buffer.kept), buffer, rows, width, dim, byKey]);
    buffer.kept.written = buffer.written;
  }

  #scatter(args: readonly (DeviceBuffer | number)[]): void {
    const [out, x, index, rows, width, offset] = args as [CpuBuffer, CpuBuffer, CpuBuffer, number, number, number];
    const { kept } = out;
    const follow = kept !== null && kept.width === width && kept.written === out.written;
    this.#command("scatter_rows", args);
    if (!follow) return;
    this.#command("keep_scattered", [this.#view(kept), x, index, rows, width, offset, kept.dim, kept.byKey]);
    kept.written = out.written;
  }

  #drop(pack: Pack): void {
    if (pack.at === 0) return;
    this.#heap.give(pack.at, pack.bytes);
    this.#packed -= pack.bytes;
    pack.at = 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    if (this.threads > 1) {
      const words = new Int32Array(this.#memory.buffer);
      Atomics.store(words, (this.#control >> 2) + STOP, 1);
      Atomics.add(words, this.#control >> 2, GENERATION);
      Atomics.notify(words, this.#control >> 2);
    }
    for (const worker of this.#workers) worker.terminate();
  }

  ropeTable(frequencies: Float64Array, rows: number): { cos: Float32Array; sin: Float32Array } {
    const half = frequencies.length;
    const words = rows * half;
    const f = this.#heap.take(half * 8);
    const cos = this.#heap.take(words * 4);
    const sin = this.#heap.take(words * 4);
    new Float64Array(this.#memory.buffer, f, half).set(frequencies);
    this.exports.rope_table(cos, sin, f, rows, half);
    const copy = (at: number) => this.#f32.slice(at >>> 2, (at >>> 2) + words);
    const table = { cos: copy(cos), sin: copy(sin) };
    this.#heap.give(f, half * 8);
    this.#heap.give(cos, words * 4);
    this.#heap.give(sin, words * 4);
    return table;
  }

  normals(n: number, std: number, key: readonly [number, number], counter: readonly [number, number, number]) {
    const even = n + (n & 1);
    const at = this.#heap.take(even * 4);
    this.exports.philox_fill(at, even, key[0], key[1], counter[0], counter[1], counter[2]);
    this.exports.normals(at, even, std);
    const out = this.#f32.slice(at >>> 2, (at >>> 2) + n);
    this.#heap.give(at, even * 4);
    return out;
  }

  /** Elementary function `which` (core/wasm/elementary.ts) of each number; the length is a multiple of 4. */
  elementary(which: number, x: Float32Array): Float32Array {
    const at = this.#heap.take(x.length * 4);
    this.#f32.set(x, at >>> 2);
    this.exports.elementary(at, at, x.length, which);
    const out = this.#f32.slice(at >>> 2, (at >>> 2) + x.length);
    this.#heap.give(at, x.length * 4);
    return out;
  }

  f64_exp(x: number): number {
    return this.exports.f64_exp(x);
  }
  f64_log(x: number): number {
    return this.exports.f64_log(x);
  }
  f64_pow(x: number, y: number): number {
    return this.exports.f64_pow(x, y);
  }
  f64_cos(x: number): number {
    return this.exports.f64_cos(x);
  }
  f64_sin(x: number): number {
    return this.exports.f64_sin(x);
  }

  #flush(): void {
    if (this.#commands === 0) return;
    const count = this.#commands;
    this.#words = 0;
    this.#commands = 0;
    this.exports.run(this.#program, count);
  }

  #bounds(verb: string, buffer: DeviceBuffer, offset: number, length: number): void {
    this.#open(verb);
    checkBuffer(verb, buffer, this);
    if ((buffer as CpuBuffer).at === 0) {
      throw new CohortError("bad-input", `${verb}: buffer ${buffer.label} was freed`, "keep it until it is used");
    }
    checkBounds(verb, buffer, offset, length);
  }

  /** The threads of a closed device are gone: waiting for them would never end. */
  #open(verb: string): void {
    if (this.#closed) throw new CohortError("bad-input", `${verb}: the device is closed`, "open another one");
  }

  /** Gives each thread at least so many bytes of scratch. */
  #scratch(bytes: number): void {
    const need = Math.ceil(bytes / ALIGN) * ALIGN;
    if (need <= this.#scratchBytes) return;
    this.#flush();
    if (this.#scratchAt) this.#heap.give(this.#scratchAt, this.#scratchBytes * this.threads);
    this.#scratchAt = this.#heap.take(need * this.threads);
    this.#scratchBytes = need;
    this.#u32[(this.#control >> 2) + SCRATCH] = this.#scratchAt;
    this.#u32[(this.#control >> 2) + SCRATCH_BYTES] = need;
  }

  #ensure(end: number): void {
    const have = this.#memory.buffer.byteLength;
    if (end <= have) return;
    try {
      this.#memory.grow(Math.ceil((end - have) / PAGE));
    } catch (cause) {
      throw new CohortError(
        "out-of-memory",
        `WASM memory cannot grow from ${have} to ${end} bytes`,
        "use a smaller model, more micro-batches or shorter completions",
        { cause },
      );
    }
    this.#views();
  }

  #views(): void {
    this.#f32 = new Float32Array(this.#memory.buffer);
    this.#u32 = new Uint32Array(this.#memory.buffer);
  }
}
