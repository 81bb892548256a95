/**
 * @file The critic: a model of the policy's shape with a score head, which reads a value V(s_t) before every token. It starts
 * as a copy of the policy with a head of zeros, and learns beside it with the run's optimiser settings.
 */
import type { TrainConfig } from "../config.ts";
import { newModel } from "../model/load.ts";
import type { Sequence } from "../model/pack.ts";
import { Session } from "../session.ts";
import type { Runtime } from "./model.ts";

export class Critic {
  readonly session: Session;

  constructor(policy: Session, runtime: Runtime, config: TrainConfig) {
    const { model, loaded, device } = policy;
    const { precision, maxTokens } = model;
    const sizes = { ...model.config, scoreHead: true as const };
    const made = newModel(device, runtime.numeric, sizes, loaded.tokenizer, config.seed, { precision, maxTokens });
    for (const p of made.model.parameters.values()) {
      const own = model.parameters.get(p.name);
      if (own) device.run("copy", p.value, own.value, p.size);
      else device.run("fill", p.value, p.size, 0);
    }
    this.session = new Session(device, runtime.numeric, made, config.optimizer);
  }

  /** V before each scored token of the sequences. */
  values(sequences: readonly Sequence[], options: { microBatches: number }): Promise<Float32Array> {
    return this.session.values(sequences, options);
  }

  /**
   * One optimiser step.
   * @param dvalue of the loss by each value
   * @param total optimiser steps of the whole run, for the schedule
   * @returns the values that the forward pass gave
   */
  async learn(
    sequences: readonly Sequence[],
    dvalue: ArrayLike<number>,
    total: number,
    options: { microBatches: number },
  ): Promise<Float32Array> {
    const values = await this.session.forwardBackwardValues(sequences, dvalue, options);
    await this.session.optimStep(total);
    return values;
  }

  close(): void {
    this.session.close();
  }
}
