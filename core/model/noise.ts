/**
 * @file Noise in the hidden states of a training pass, with a learned scale a layer: h_l ← h_l + σ_l·ξ where layer l begins,
 * ξ normal (adaptive layerwise perturbation, arXiv 2603.19470). Sampling and scoring without a key have none.
 *
 * ξ is a function of (seed, step, trajectory, layer, position) alone: the split into micro-batches, the place in a pack,
 * threads and backend change no bit of it. It is made on the host, a micro-batch and layer at a time, and a layer's stays on
 * the device until its gradient has been taken. With Σ over rows of dh·ξ by column, rows ascending and going on from one
 * micro-batch to the next, ∂/∂log σ_l = σ_l·Σ dh·ξ has one order of sums.
 */
import type { Device, DeviceBuffer } from "../device.ts";
import type { Activation, Tape } from "../graph.ts";
import type { Numeric } from "../math.ts";
import { streams } from "../rng.ts";
import type { Sequence } from "./pack.ts";
import type { Parameter } from "./parameters.ts";

/** Which noise sequences get: that of these trajectories in this step of a run. */
export interface NoiseKey {
  seed: number;
  step: number;
  /** of each sequence, a number below 2^32 */
  trajectories: ArrayLike<number>;
}

/** The noise of a pass over packed sequences without shared prompts. */
export interface PassNoise {
  /** Adds layer l's to x [T, C] in place; its adjoint takes the gradient of the layer's scale. */
  perturb(tape: Tape, x: Activation, l: number): void;
  close(): void;
}

/** Positions of a context; a layer's numbers begin at a multiple of it. */
const POSITIONS = 2 ** 20;

export class LayerNoise {
  /** log σ [L], trained. */
  readonly logScale: Parameter;
  readonly #device: Device;
  readonly #numeric: Numeric;
  readonly #layers: number;
  readonly #width: number;
  /** Σ dh·ξ by column of each layer, [C]. */
  readonly #sums: readonly DeviceBuffer[];
  /** σ of the step's passes. */
  #scales: Float64Array | null = null;

  /**
   * @param shape layers L and width C of the model
   * @param start σ of every layer before the first step, above 0
   * @param learningRate peak learning rate of log σ, in place of the run's
   */
  constructor(
    device: Device,
    numeric: Numeric,
    shape: { layers: number; width: number },
    start: number,
    learningRate: number,
  ) {
    this.#device = device;
    this.#numeric = numeric;
    this.#layers = shape.layers;
    this.#width = shape.width;
    this.logScale = {
      name: "noise.log_scale",
      shape: [shape.layers],
      kind: "scale",
      size: shape.layers,
      value: device.alloc(shape.layers, "noise.log_scale"),
      grad: device.alloc(shape.layers, "gradient of noise.log_scale"),
      learningRate,
    };
    device.write(this.logScale.value, new Float32Array(shape.layers).fill(numeric.f64_log(start)));
    this.#sums = Array.from({ length: shape.layers }, (_, l) => device.alloc(shape.width, `noise gradient ${l}`));
  }

  /** Forgets what the passes of the last step added. */
  beginStep(): void {
    for (const sum of this.#sums) this.#device.run("fill", sum, this.#width, 0);
    this.#scales = null;
  }

  /** σ as it is. */
  async scales(): Promise<Float64Array> {
    const logs = await this.#device.readF32(this.logScale.value);
    return Float64Array.from(logs, (x) => this.#numeric.f64_exp(x));
  }

  /**
   * The noise of a pass.
   * @param positions [T] of the rows of the pass in their sequences
   * @param trajectories [T] of the rows
   */
  async pass(
    positions: Uint32Array,
    trajectories: Uint32Array,
    { seed, step }: Pick<NoiseKey, "seed" | "step">,
  ): Promise<PassNoise> {
    const device = this.#device;
    const width = this.#width;
    const rows = positions.length;
    const scales = await this.scales();
    this.#scales = scales;
    // The kernel of a norm's weight sums dy·x·rstd over rows: with 1 in the place of rstd, dh·ξ.
    const ones = device.alloc(Math.max(1, rows), "ones");
    device.run("fill", ones, rows, 1);
    return {
      perturb: (tape, x, l) => {
        const noise = device.alloc(rows * width, `noise of layer ${l}`);
        device.write(noise, this.#normals(l, positions, trajectories, [seed, step]));
        const scaled = device.alloc(rows * width, "scaled noise");
        device.run("copy", scaled, noise, rows * width);
        device.run("scale", scaled, rows * width, Math.fround(scales[l]));
        device.run("add", x.buffer, scaled, rows * width);
        device.free(scaled);
        const sum = () => device.run("rmsnorm_dw", this.#sums[l], x.grad!, noise, ones, rows, width);
        tape.after(x, sum, [noise]);
      },
      close: () => device.free(ones),
    };
  }

  /** ξ of a layer, [T, C]. */
  #normals(
    l: number,
    positions: Uint32Array,
    trajectories: Uint32Array,
    [seed, step]: readonly [number, number],
  ): Float32Array {
    const all = new Float32Array(positions.length * this.#width);
    positions.forEach((position, t) => {
      const counter = [step, trajectories[t], l * POSITIONS + position] as const;
      all.set(this.#numeric.normals(this.#width, 1, [seed, streams.perturbation], counter), t * this.#width);
    });
    return all;
  }

  /** The gradient by log σ, once all passes of the step have added to it. */
  async endStep(): Promise<void> {
    if (!this.#scales) return;
    const gradient = new Float32Array(this.#layers);
    for (let l = 0; l < this.#layers; l++) {
      let sum = 0;
      for (const x of await this.#device.readF32(this.#sums[l])) sum += x;
      gradient[l] = this.#scales[l] * sum;
    }
    this.#device.write(this.logScale.grad!, gradient);
  }

  /** Frees what `Transformer.close` does not know of. */
  close(): void {
    for (const sum of this.#sums) this.#device.free(sum);
  }
}

/** The trajectory of each row of a pack of these sequences: ids but the last, sequence after sequence. */
export function rowTrajectories(sequences: readonly Sequence[], trajectories: ArrayLike<number>): Uint32Array {
  return Uint32Array.from(
    sequences.flatMap(({ ids }, i) => new Array<number>(Math.max(0, ids.length - 1)).fill(trajectories[i])),
  );
}
