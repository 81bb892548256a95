/**
 * @file The WASM module of the policy-optimisation core and its memory: a stack of float64 vectors.
 *
 * Everything a step needs is pushed after a mark and dropped by returning to it, so the memory grows to the largest
 * step once and then stays. Views are made anew on each access: growing the memory detaches older ones.
 */
import { CohortError } from "../errors.ts";
import packed from "../generated/wasm-rl.ts";
import { unpackModule } from "../inflate.ts";

/** Exports of core/wasm/rl.ts; addresses are bytes, counts are elements. */
export interface Kernels {
  run(program: number, count: number, n: number): void;
  fill(out: number, n: number, value: number): void;
  settle(out: number, n: number): void;
  firstFault(x: number, n: number, limit: number): number;
  recur(out: number, x: number, decay: number, offsets: number, segments: number, backward: number): void;
  shift(out: number, x: number, offsets: number, segments: number, by: number): void;
  gather(out: number, x: number, index: number, n: number): void;
  scatterAdd(out: number, size: number, x: number, index: number, n: number): void;
  order(out: number, x: number, offsets: number, segments: number, scratch: number): void;
  running(out: number, x: number, offsets: number, segments: number, sign: number): void;
  exp(x: number): number;
  log(x: number): number;
  power(x: number, y: number): number;
  tanh(x: number): number;
  cos(x: number): number;
  sin(x: number): number;
  logGamma(x: number): number;
  digamma(x: number): number;
  logSigmoid(x: number): number;
  heapBase(): number;
}

const PAGE = 65536;

export class Engine {
  readonly kernels: Kernels;
  readonly #memory: WebAssembly.Memory;
  #top: number;

  constructor() {
    this.#memory = new WebAssembly.Memory({ initial: 16 });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(unpackModule(packed)), {
      env: {
        memory: this.#memory,
        abort: () => {
          throw new Error("core/wasm/rl aborted");
        },
      },
    });
    this.kernels = instance.exports as unknown as Kernels;
    this.#top = (this.kernels.heapBase() + 15) & ~15;
  }

  /** Where the stack ends now; hand it to release. */
  mark(): number {
    return this.#top;
  }

  release(mark: number): void {
    this.#top = mark;
  }

  /** Room for n float64 and one more pair (blocks are rounded up), aligned to 16 bytes. */
  allocate(n: number): number {
    const address = this.#top;
    this.#top += ((n * 8 + 15) & ~15) + 16;
    const missing = this.#top - this.#memory.buffer.byteLength;
    if (missing > 0) {
      const pages = Math.max(Math.ceil(missing / PAGE), Math.min(256, this.#memory.buffer.byteLength / PAGE));
      try {
        this.#memory.grow(pages);
      } catch (cause) {
        this.#top = address;
        throw new CohortError(
          "out-of-memory",
          `Engine.allocate: no room for ${n} numbers beyond ${address} bytes`,
          "make the batch of one optimiser step smaller",
          { cause },
        );
      }
    }
    return address;
  }

  /** Bytes that the memory has grown to. */
  get bytes(): number {
    return this.#memory.buffer.byteLength;
  }

  f64(address: number, n: number): Float64Array {
    return new Float64Array(this.#memory.buffer, address, n);
  }

  i32(address: number, n: number): Int32Array {
    return new Int32Array(this.#memory.buffer, address, n);
  }
}

let shared: Engine | undefined;

/** The engine of this realm, started at first use. */
export function engine(): Engine {
  shared ??= new Engine();
  return shared;
}
