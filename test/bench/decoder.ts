/**
 * @file The training step that all sides of the bench make: the same decoder, weights and tokens; forward, mean loss,
 * backward, clipping of the gradient's norm at 1, AdamW. A peer is a file that makes this step in its own way.
 */

/** Sizes of a decoder as ours: RMSNorm, RoPE, grouped-query attention, SwiGLU, tied embedding, no bias. */
export interface DecoderShape {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly intermediateSize: number;
}

export const NORM_EPS = 1e-5;
export const ROPE_THETA = 10000;
export const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
export const MAX_GRAD_NORM = 1;
/** Ours, as the peers have it. */
export const optimizer = {
  learningRate: 1e-4,
  schedule: "constant" as const,
  warmupSteps: 0,
  weightDecay: 0,
  ...ADAM,
  maxGradNorm: MAX_GRAD_NORM,
};

export interface StepTask {
  readonly shape: DecoderShape;
  readonly learningRate: number;
  /** Token ids, a sequence each, all of one length: every id but the last goes in, every id but the first is predicted. */
  readonly sequences: readonly Uint32Array[];
  /** By Hugging Face's names; linear layers [out, in]. */
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
}

export interface Step {
  /** Mean of the targets before the step, nats. */
  readonly loss: number;
  /** By the clock. */
  readonly seconds: number;
  /** Of all threads. */
  readonly processorSeconds: number;
}

export interface PeerStep {
  step(): Promise<Step>;
  close(): void;
}

/** A step of this process. */
export async function timed(work: () => Promise<number>): Promise<Step> {
  const [t0, c0] = [performance.now(), process.cpuUsage()];
  const loss = await work();
  const { user, system } = process.cpuUsage(c0);
  return { loss, seconds: (performance.now() - t0) / 1000, processorSeconds: (user + system) / 1e6 };
}

/** cos and sin of the rotary angles, each [positions, dim], the second half as the first (rotate-half). */
export function ropeTable(positions: number, dim: number): { cos: Float32Array; sin: Float32Array } {
  const angle = (i: number) => Math.floor(i / dim) * ROPE_THETA ** (-(2 * (i % (dim / 2))) / dim);
  const table = (of: (x: number) => number) => Float32Array.from({ length: positions * dim }, (_, i) => of(angle(i)));
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** Inputs and targets, [sequences × positions] each. */
export function inputsAndTargets({ sequences }: StepTask): { inputs: Int32Array; targets: Int32Array } {
  return {
    inputs: Int32Array.from(sequences.flatMap((ids) => [...ids.subarray(0, -1)])),
    targets: Int32Array.from(sequences.flatMap((ids) => [...ids.subarray(1)])),
  };
}
