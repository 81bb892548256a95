/**
 * @file A tape over kernel calls: a forward pass records, `backward` replays the adjoints in reverse and frees as it goes.
 *
 * What is not recorded (scoring, sampling) frees its activations as soon as the model drops them. The order of the
 * adjoints is the reverse of the forward order, so that sums over several uses of an activation have one fixed order.
 */
import type { Device, DeviceBuffer } from "./device.ts";

/** A matrix of the forward pass, [rows, cols], and the gradient by it once one has arrived. */
export interface Activation {
  buffer: DeviceBuffer;
  readonly rows: number;
  readonly cols: number;
  grad: DeviceBuffer | null;
}

export class Tape {
  readonly device: Device;
  readonly recording: boolean;
  readonly #steps: { outputs: Activation[]; owned: boolean; saved: DeviceBuffer[]; adjoint: () => void }[] = [];

  constructor(device: Device, recording: boolean) {
    this.device = device;
    this.recording = recording;
  }

  activation(rows: number, cols: number, label: string): Activation {
    return { buffer: this.device.alloc(rows * cols, label), rows, cols, grad: null };
  }

  /**
   * Keeps what an operation made until its adjoint has run. Without recording, `saved` is freed at once.
   * @param adjoint adds to the gradients of the inputs; does not run where no gradient reached the outputs
   */
  record(outputs: Activation[], saved: DeviceBuffer[], adjoint: () => void): void {
    if (this.recording) this.#steps.push({ outputs, owned: true, saved, adjoint });
    else for (const buffer of saved) this.device.free(buffer);
  }

  /** For an operation that changed x in place: the adjoint changes the gradient of x in place. `saved` as of `record`. */
  after(x: Activation, adjoint: () => void, saved: DeviceBuffer[] = []): void {
    if (this.recording) this.#steps.push({ outputs: [x], owned: false, saved, adjoint });
    else for (const buffer of saved) this.device.free(buffer);
  }

  /** Says that the forward pass reads this no more. */
  drop(...activations: Activation[]): void {
    if (!this.recording) for (const a of activations) this.device.free(a.buffer);
  }

  /** Where an adjoint writes the gradient of x: 1 = add to what is there, 0 = there is nothing yet. */
  gradOf(x: Activation): { buffer: DeviceBuffer; accumulate: 0 | 1 } {
    if (x.grad) return { buffer: x.grad, accumulate: 1 };
    x.grad = this.device.alloc(x.rows * x.cols, "activation gradient");
    return { buffer: x.grad, accumulate: 0 };
  }

  /** Hands the gradient of `from` on to `to`, which is used nowhere later. */
  passGrad(from: Activation, to: Activation): void {
    if (!from.grad) return;
    if (to.grad) {
      this.device.run("add", to.grad, from.grad, to.rows * to.cols);
    } else {
      to.grad = from.grad;
      from.grad = null;
    }
  }

  backward(): void {
    this.#replay(true);
  }

  /** Frees everything without a backward pass. */
  discard(): void {
    this.#replay(false);
  }

  #replay(adjoints: boolean): void {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      if (adjoints && step.outputs.some((o) => o.grad)) step.adjoint();
      for (const buffer of step.saved) this.device.free(buffer);
      if (!step.owned) continue;
      for (const output of step.outputs) {
        this.device.free(output.buffer);
        if (output.grad) this.device.free(output.grad);
        output.grad = null;
      }
    }
  }
}
