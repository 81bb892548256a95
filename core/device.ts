/**
 * @file What a backend is: memory, and kernels that run on it in the order they were asked for.
 *
 * The same calls give the same bits on every Device that may be used in exact mode (docs: exactness). `run` records;
 * nothing is promised to have happened before `read` resolves.
 */
import { CohortError, nearest } from "./errors.ts";
import { shown } from "./given.ts";
import { type KernelName, kernelNames, kernels } from "./kernels.ts";

/** A block of 32-bit words on a device. */
export interface DeviceBuffer {
  /** Words asked for. */
  readonly length: number;
  /** What it holds, for error messages. */
  readonly label: string;
  /** The device that made it; no other one takes it. */
  readonly owner: Device;
}

/** 12: operands of products rounded to 12 significant bits. 24: split in two halves of 12, about f32 accuracy. */
export type Precision = 12 | 24;

export interface Device {
  readonly kind: "wasm" | "webgpu";
  /** For people: "WASM, relaxed SIMD, 2 threads". */
  readonly name: string;
  /** Bytes in use now, and the most there ever were. */
  readonly memory: { readonly used: number; readonly peak: number };
  /** What is wrong with it for good, its buffers with it; null or absent: nothing. */
  readonly fault?: string | null;
  /** Words are undefined until written. */
  alloc(words: number, label: string): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  write(buffer: DeviceBuffer, data: Float32Array | Uint32Array | Int32Array, offset?: number): void;
  readF32(buffer: DeviceBuffer, offset?: number, length?: number): Promise<Float32Array>;
  readU32(buffer: DeviceBuffer, offset?: number, length?: number): Promise<Uint32Array>;
  /**
   * Arguments in the order of the kernel table: buffers of this device, dims (whole numbers from 0 to 2³² − 1), scalars.
   * Two things are the caller's duty and not checked: that the buffers are as long as the dims say (a kernel reads and
   * writes beyond a shorter one, or stops at its end, as the backend has it), and that a buffer which is written is no other
   * argument of the same call.
   * @throws CohortError("bad-input") for a kernel that there is not, and arguments of the wrong number or kind
   */
  run(kernel: KernelName, ...args: (DeviceBuffer | number)[]): void;
  close(): void;
}

/** How many arguments a kernel has: its buffers come first, then the dims, then the scalars. */
const counts = new Map<unknown, { buffers: number; integers: number; all: number }>(
  kernelNames.map((name) => {
    const { buffers, dims, scalars = [] } = kernels[name];
    const before = Object.keys(buffers).length;
    const integers = before + dims.length;
    return [name, { buffers: before, integers, all: integers + scalars.length }];
  }),
);

/** Throws where there is no such kernel, or the arguments do not fit its row of the table; cheap where they do. */
export function checkArguments(name: KernelName, args: readonly (DeviceBuffer | number)[], device: Device): void {
  const count = counts.get(name);
  if (count?.all !== args.length) throw miscalled(name, args);
  const { buffers, integers, all } = count;
  for (let i = 0; i < buffers; i++) {
    if ((args[i] as DeviceBuffer | undefined)?.owner !== device) throw misfit(name, args, i);
  }
  for (let i = buffers; i < integers; i++) {
    if ((args[i] as number) >>> 0 !== args[i]) throw misfit(name, args, i);
  }
  for (let i = integers; i < all; i++) if (typeof args[i] !== "number") throw misfit(name, args, i);
}

function miscalled(name: unknown, args: readonly unknown[]): CohortError {
  const count = counts.get(name);
  if (count) {
    const remedy = `give ${count.all} (see core/kernels.ts)`;
    return new CohortError("bad-input", `run: kernel ${name}: ${args.length} arguments`, remedy);
  }
  const near = nearest(String(name), kernelNames);
  const remedy = near ? `did you mean "${near}"? All are in core/kernels.ts` : `there are ${kernelNames.join(", ")}`;
  return new CohortError("bad-input", `run: no kernel is called ${shown(name)}`, remedy);
}

function misfit(name: KernelName, args: readonly unknown[], i: number): CohortError {
  const { buffers, dims, scalars = [] } = kernels[name];
  const labels = Object.keys(buffers);
  const before = labels.length;
  const at = `run: kernel ${name}: argument ${i}`;
  if (i < before) return noBuffer(`${at}, the buffer ${labels[i]},`, args[i]);
  const which = [...dims, ...scalars][i - before];
  const whole = i < before + dims.length ? "a whole number from 0 to 4294967295" : "a number";
  return new CohortError("bad-input", `${at}, the number ${which}, is ${shownArgument(args[i])}`, `give ${whole}`);
}

function noBuffer(where: string, given: unknown): CohortError {
  const { owner, label } = (given ?? {}) as Partial<DeviceBuffer>;
  if (owner) {
    const remedy = "read it there and write it here: each device has memory of its own";
    return new CohortError("bad-input", `${where} is ${label} of another device`, remedy);
  }
  return new CohortError("bad-input", `${where} is ${shownArgument(given)}`, "give a buffer, as alloc makes one");
}

/** A buffer holds its device, which no text can show. */
const shownArgument = (x: unknown): string =>
  (x as Partial<DeviceBuffer> | null | undefined)?.owner ? `the buffer ${(x as DeviceBuffer).label}` : shown(x);

/** Throws where `buffer` is none that `device` made. */
export function checkBuffer(verb: string, buffer: DeviceBuffer, device: Device): void {
  if ((buffer as DeviceBuffer | undefined)?.owner !== device) throw noBuffer(`${verb}: the buffer`, buffer);
}

/** Throws where words `offset` … `offset + length` are not in `buffer`. */
export function checkBounds(verb: string, buffer: DeviceBuffer, offset: number, length: number): void {
  if (offset >>> 0 === offset && length >>> 0 === length && offset + length <= buffer.length) return;
  throw new CohortError(
    "bad-input",
    `${verb}: words ${offset} … ${offset + length} of ${buffer.label}, which has ${buffer.length}`,
    "stay inside the buffer",
  );
}

/** Throws where `words` is no length of a buffer. */
export function checkLength(words: number, label: string): void {
  if (Number.isSafeInteger(words) && words >= 0) return;
  const of = label === undefined ? "" : ` for ${label}`;
  throw new CohortError("bad-input", `alloc: ${shown(words)} words${of}`, "give a whole number of at least 0");
}

const wordTypes: readonly unknown[] = ["Float32Array", "Uint32Array", "Int32Array"];

/** The name of the type of `data`, whichever realm it is from; throws where it is none that `write` takes. */
export function wordType(data: Float32Array | Uint32Array | Int32Array): string {
  const type: unknown = data?.[Symbol.toStringTag];
  if (wordTypes.includes(type)) return type as string;
  const remedy = "give a Float32Array, a Uint32Array or an Int32Array, as the buffer holds f32, u32 or i32";
  throw new CohortError("bad-input", `write: the data is ${shown(data)}`, remedy);
}
