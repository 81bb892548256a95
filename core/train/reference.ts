/** @file The reference policy: none, a frozen copy of the first weights, or the model with its adapters off. */
import type { TrainConfig } from "../config.ts";
import { CohortError } from "../errors.ts";
import { openModelDirectory } from "../model/directory.ts";
import { copyModel, saveModel } from "../model/load.ts";
import type { Sequence } from "../model/pack.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Recipe } from "../recipe.ts";
import type { Session } from "../session.ts";
import type { Runtime } from "./model.ts";

export type ReferenceKind = "none" | "copy" | "adapter-off";

/**
 * Which reference a run has.
 * @param reads the fields that the recipe reads
 * @throws CohortError("bad-config") where the configuration takes away what the recipe needs
 */
export function referenceKind(config: TrainConfig, recipe: Recipe, reads: ReadonlySet<string>): ReferenceKind {
  const needed = reads.has("logp_ref");
  if (config.reference === "adapter-off" && !config.lora) {
    throw new CohortError("bad-config", "reference is adapter-off, and there is no lora", 'use "copy"');
  }
  if (config.reference === "none" && needed) {
    throw new CohortError(
      "bad-config",
      `recipe ${recipe.id} needs a reference policy, and reference is none`,
      'leave reference out, or set the recipe\'s beta to 0 ("params": {"beta": 0})',
    );
  }
  if (config.reference !== "auto") return config.reference;
  return !needed ? "none" : config.lora ? "adapter-off" : "copy";
}

export class ReferencePolicy {
  readonly kind: ReferenceKind;
  readonly #session: Session;
  readonly #runtime: Runtime;
  #copy: Transformer | null = null;

  constructor(kind: ReferenceKind, session: Session, runtime: Runtime) {
    this.kind = kind;
    this.#session = session;
    this.#runtime = runtime;
  }

  /** The copy, once there is one. */
  get copy(): Transformer | null {
    return this.#copy;
  }

  /**
   * Freezes the policy as the model is now, and keeps it in `dir`; or, where the run continues, takes it from there: the
   * first weights of a warm-started model are nowhere else.
   */
  async settle(dir: string): Promise<void> {
    if (this.kind !== "copy") return;
    if (await this.#runtime.storage.exists(dir)) return this.load(dir);
    this.#copy = copyModel(this.#session.model, this.#runtime.numeric);
    // Whole or absent, as checkpoints are: a run that stops here finds no half of it.
    const { storage } = this.#runtime;
    await storage.remove(`${dir}.writing`);
    await saveModel({ ...this.#session.loaded, model: this.#copy }, storage, `${dir}.writing`);
    await storage.rename(`${dir}.writing`, dir);
  }

  /** The weights of a model folder of the same shapes; without one, the model as it is now. */
  async load(dir: string | null): Promise<void> {
    if (this.kind !== "copy") return;
    const { storage, device, numeric } = this.#runtime;
    this.#copy = copyModel(this.#session.model, numeric);
    if (dir === null) return;
    const { tensors } = await openModelDirectory(storage, dir);
    for (const p of this.#copy.parameters.values()) device.write(p.value, await tensors.get(p.name)!.load());
  }

  /** Log-probabilities of the scored tokens, nats; undefined where there is no reference. */
  async logp(
    sequences: readonly Sequence[],
    options: { microBatches: number; temperature: number },
  ): Promise<Float32Array | undefined> {
    if (this.kind === "none") return undefined;
    const session = this.#session;
    if (this.#copy) return (await session.score(sequences, { ...options, model: this.#copy })).logp;
    const { lora } = session.model;
    lora!.enabled = false;
    try {
      return (await session.score(sequences, options)).logp;
    } finally {
      lora!.enabled = true;
    }
  }

  close(): void {
    this.#copy?.close();
  }
}
