/**
 * @file What a backend is: memory, and kernels that run on it in the order they were asked for.
 *
 * The same calls give the same bits on every Device that may be used in exact mode (docs: exactness). `run` records;
 * nothing is promised to have happened before `read` resolves.
 */
import { CohortError } from "./errors.ts";
import { type KernelName, kernels } from "./kernels.ts";

/** A block of 32-bit words on a device. */
export interface DeviceBuffer {
  /** Words asked for. */
  readonly length: number;
  /** What it holds, for error messages. */
  readonly label: string;
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
  /** Arguments in the order of the kernel table: buffers, dims, scalars. */
  run(kernel: KernelName, ...args: (DeviceBuffer | number)[]): void;
  close(): void;
}

/** Throws where the arguments do not fit the kernel's row of the table. */
export function checkArguments(name: KernelName, args: readonly (DeviceBuffer | number)[]): void {
  const { buffers, dims, scalars = [] } = kernels[name];
  const names = Object.keys(buffers);
  const want = names.length + dims.length + scalars.length;
  if (args.length !== want) {
    throw new CohortError("device", `kernel ${name}: ${args.length} arguments`, `give ${want} (see core/kernels.ts)`);
  }
  for (let i = 0; i < args.length; i++) {
    if ((typeof args[i] === "object") !== i < names.length) {
      const which = i < names.length ? `buffer ${names[i]}` : `number ${[...dims, ...scalars][i - names.length]}`;
      throw new CohortError("device", `kernel ${name}: argument ${i} is not the ${which}`, "see core/kernels.ts");
    }
  }
}
