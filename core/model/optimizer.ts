/** @file AdamW with global-norm clipping and learning-rate schedules, over the trainable parameters of a model. */
import type { Device, DeviceBuffer } from "../device.ts";
import { CohortError } from "../errors.ts";
import { known, number, shown } from "../given.ts";
import type { HostMath } from "../math.ts";
import type { Parameter } from "./parameters.ts";

export interface OptimizerOptions {
  learningRate: number;
  schedule: "constant" | "linear" | "cosine";
  /** Optimiser steps from 0 to the full rate. */
  warmupSteps: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** 0: no clipping. */
  maxGradNorm: number;
}

const optionNames: Record<keyof OptimizerOptions, true> = {
  learningRate: true,
  schedule: true,
  warmupSteps: true,
  weightDecay: true,
  beta1: true,
  beta2: true,
  epsilon: true,
  maxGradNorm: true,
};

const schedules: readonly OptimizerOptions["schedule"][] = ["constant", "linear", "cosine"];

/**
 * @returns the options as they are
 * @throws CohortError("bad-input") naming those that are missing, unknown or out of range
 */
export function checkedOptimizer(options: OptimizerOptions): OptimizerOptions {
  const where = "optimizer";
  known(where, options, optionNames);
  const missing = Object.keys(optionNames).filter((name) => options[name as keyof OptimizerOptions] === undefined);
  if (missing.length > 0) {
    const remedy = "give all of them; parseConfig({}).optimizer has what training takes by default";
    throw new CohortError("bad-input", `${where}: no ${missing.join(", ")} among the options`, remedy);
  }
  number(where, "learningRate", options.learningRate, { least: 0 });
  if (!schedules.includes(options.schedule)) {
    const remedy = `give ${schedules.map((name) => `"${name}"`).join(", ")}`;
    throw new CohortError("bad-input", `${where}: schedule is ${shown(options.schedule)}`, remedy);
  }
  number(where, "warmupSteps", options.warmupSteps, { least: 0, whole: true });
  number(where, "weightDecay", options.weightDecay, { least: 0 });
  for (const name of ["beta1", "beta2"] as const) number(where, name, options[name], { least: 0, most: 0.999999 });
  number(where, "epsilon", options.epsilon, { least: 1e-12 });
  number(where, "maxGradNorm", options.maxGradNorm, { least: 0 });
  return options;
}

/** The rate of optimiser step t (from 1) of `total`. */
export function learningRateAt(options: OptimizerOptions, t: number, total: number, math: HostMath): number {
  const { learningRate, schedule, warmupSteps } = options;
  if (t <= warmupSteps) return (learningRate * t) / warmupSteps;
  if (schedule === "constant") return learningRate;
  // The last step still moves: progress runs from 0 to just below 1.
  const progress = Math.min(1, (t - 1 - warmupSteps) / Math.max(1, total - warmupSteps));
  if (schedule === "linear") return learningRate * (1 - progress);
  return learningRate * 0.5 * (1 + math.f64_cos(Math.PI * progress));
}

const CHUNK = 4096;

export class AdamW {
  readonly parameters: readonly Parameter[];
  readonly moments: readonly { m: DeviceBuffer; v: DeviceBuffer }[];
  #options: OptimizerOptions;
  /** Steps done. */
  steps = 0;
  readonly #device: Device;
  readonly #math: HostMath;
  readonly #partials: DeviceBuffer;
  /** β^t, by repeated multiplication: the same bits in every engine. */
  #power1 = 1;
  #power2 = 1;

  /** @throws CohortError as `checkedOptimizer` */
  constructor(device: Device, math: HostMath, parameters: readonly Parameter[], options: OptimizerOptions) {
    this.#options = checkedOptimizer(options);
    this.#device = device;
    this.#math = math;
    this.parameters = parameters;
    this.moments = parameters.map((p) => ({
      m: device.alloc(p.size, `m of ${p.name}`),
      v: device.alloc(p.size, `v of ${p.name}`),
    }));
    this.#partials = device.alloc(
      parameters.reduce((n, p) => n + Math.ceil(p.size / CHUNK), 0),
      "gradient norm",
    );
    this.reset(options);
  }

  get options(): OptimizerOptions {
    return this.#options;
  }

  /** @throws CohortError as `checkedOptimizer` */
  set options(options: OptimizerOptions) {
    this.#options = checkedOptimizer(options);
  }

  /** As new: moments 0, no step done. */
  reset(options: OptimizerOptions): void {
    this.options = options;
    this.restore(0);
    for (const [i, { m, v }] of this.moments.entries()) {
      this.#device.run("fill", m, this.parameters[i].size, 0);
      this.#device.run("fill", v, this.parameters[i].size, 0);
    }
  }

  /**
   * L2 norm of all gradients, and of each parameter's.
   * @throws CohortError "not-finite" naming the first parameter whose gradient is not finite
   */
  async gradNorm(): Promise<{ total: number; each: number[] }> {
    let at = 0;
    for (const p of this.parameters) {
      this.#device.run("sumsq", this.#partials, p.grad!, p.size, at);
      at += Math.ceil(p.size / CHUNK);
    }
    const partials = await this.#device.readF32(this.#partials);
    let total = 0;
    let from = 0;
    const each = this.parameters.map((p) => {
      const to = from + Math.ceil(p.size / CHUNK);
      let sum = 0;
      for (; from < to; from++) sum += partials[from];
      if (!Number.isFinite(sum)) {
        throw new CohortError(
          "not-finite",
          `optimiser step ${this.steps + 1}: the gradient of ${p.name} is not finite`,
          "lower the learning rate or maxGradNorm, or use precision 24",
        );
      }
      total += sum;
      return Math.sqrt(sum);
    });
    return { total: Math.sqrt(total), each };
  }

  /**
   * One step.
   * @param total optimiser steps of the whole run, for the schedule
   * @returns the gradient norm before clipping and the learning rate
   */
  async step(total: number): Promise<{ gradNorm: number; learningRate: number }> {
    number("optimStep", "the total of steps", total, { least: 1, whole: true });
    const { beta1, beta2, epsilon, maxGradNorm, weightDecay } = this.options;
    const gradNorm = (await this.gradNorm()).total;
    this.steps++;
    this.#power1 *= beta1;
    this.#power2 *= beta2;
    const rateOf = (peak: number) =>
      learningRateAt({ ...this.options, learningRate: peak }, this.steps, total, this.#math);
    const learningRate = rateOf(this.options.learningRate);
    const scale = maxGradNorm > 0 && gradNorm > maxGradNorm ? maxGradNorm / (gradNorm + 1e-6) : 1;
    const f = Math.fround;
    this.parameters.forEach((p, i) => {
      const { m, v } = this.moments[i];
      const decays = !["norm", "bias", "scale"].includes(p.kind) && weightDecay > 0;
      const rate = p.learningRate === undefined ? learningRate : rateOf(p.learningRate);
      this.#device.run(
        "adamw",
        p.value,
        p.grad!,
        m,
        v,
        p.size,
        f(rate),
        f(beta1),
        f(1 - beta1),
        f(beta2),
        f(1 - beta2),
        f(1 / (1 - this.#power1)),
        f(1 / (1 - this.#power2)),
        f(epsilon),
        f(decays ? 1 - rate * weightDecay : 1),
        f(scale),
      );
    });
    return { gradNorm, learningRate };
  }

  /** The learning rate of the next of `total` steps. */
  nextRate(total: number): number {
    return learningRateAt(this.options, this.steps + 1, total, this.#math);
  }

  /** Back to where a checkpoint was: moments are written by the caller. */
  restore(steps: number): void {
    this.steps = 0;
    this.#power1 = 1;
    this.#power2 = 1;
    for (; this.steps < steps; this.steps++) {
      this.#power1 *= this.options.beta1;
      this.#power2 *= this.options.beta2;
    }
  }

  close(): void {
    for (const { m, v } of this.moments) {
      this.#device.free(m);
      this.#device.free(v);
    }
    this.#device.free(this.#partials);
  }
}
