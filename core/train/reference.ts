/**
 * @file The reference policy: none, a copy of the first weights (frozen, or following the policy as a recipe says), the
 * model with its adapters off, or another model (a teacher) that shares its tokenizer.
 */
import { referenceDirectory, type TrainConfig } from "../config.ts";
import { CohortError } from "../errors.ts";
import type { Storage } from "../host.ts";
import { openModelDirectory } from "../model/directory.ts";
import { copyModel, type LoadedModel, loadModel, saveModel } from "../model/load.ts";
import type { Packed, Sequence } from "../model/pack.ts";
import type { HeldPass, Transformer } from "../model/transformer.ts";
import type { Params, Recipe } from "../recipe.ts";
import type { Completion } from "../rollout.ts";
import type { Session } from "../session.ts";
import type { Runtime } from "./model.ts";
import { MovingWeights } from "./moving.ts";

export type ReferenceKind = "none" | "copy" | "adapter-off" | "model";

/**
 * Which reference a run has.
 * @param reads the fields that the recipe reads
 * @throws CohortError("bad-config") where the configuration takes away what the recipe needs
 */
export function referenceKind(config: TrainConfig, recipe: Recipe, reads: ReadonlySet<string>): ReferenceKind {
  const needed = reads.has("logp_ref") || Boolean(recipe.reference);
  if (recipe.reference && (config.lora || !["auto", "copy"].includes(config.reference))) {
    const why = config.lora ? "with lora it is the model with its adapters off" : `it is ${config.reference}`;
    throw new CohortError(
      "bad-config",
      `recipe ${recipe.id} moves the reference policy, and ${why}`,
      config.lora ? "leave lora out" : 'use "reference": "copy"',
    );
  }
  if (referenceDirectory(config) !== null) return "model";
  if (recipe.trains?.teacher) {
    throw new CohortError(
      "bad-config",
      `recipe ${recipe.id} learns from a teacher, and reference is ${config.reference}`,
      'name the teacher\'s directory: "reference": DIR',
    );
  }
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
  if (config.reference !== "auto") return config.reference as ReferenceKind;
  return !needed ? "none" : config.lora ? "adapter-off" : "copy";
}

export class ReferencePolicy {
  readonly kind: ReferenceKind;
  readonly #session: Session;
  readonly #runtime: Runtime;
  readonly #directory: string | null;
  #copy: Transformer | null = null;
  /** The recipe's moves, where the reference follows the policy. */
  readonly #follows: { recipe: Recipe; params: Params } | null;
  #moving: MovingWeights | null = null;

  /** @param config says which directory, where the reference is another model */
  constructor(
    kind: ReferenceKind,
    session: Session,
    runtime: Runtime,
    given: { config: TrainConfig; recipe: Recipe; params: Params },
  ) {
    const { config, recipe } = given;
    this.kind = kind;
    this.#follows = recipe.reference ? given : null;
    this.#directory = referenceDirectory(config);
    this.#session = session;
    this.#runtime = runtime;
  }

  /** The copy or the other model, once there is one. */
  get copy(): Transformer | null {
    return this.#copy;
  }

  /**
   * Freezes the policy as the model is now, and keeps it in `dir`; or, where the run continues, takes it from there: the
   * first weights of a warm-started model are nowhere else.
   * @param checkpoint the folder that the run continues from: a reference that moves is as it was there
   */
  async settle(dir: string, checkpoint: string | null = null): Promise<void> {
    if (this.kind === "model") return this.#open();
    if (this.kind !== "copy") return;
    const { storage } = this.#runtime;
    const later = this.#follows && checkpoint && `${checkpoint}/reference`;
    if (later && (await storage.exists(later))) {
      await this.load(later);
      this.#beginMoving();
      return this.#moving!.load(storage, `${later}/kept.safetensors`);
    }
    if (await storage.exists(dir)) await this.load(dir);
    else await this.#freeze(dir);
    this.#beginMoving();
  }

  async #freeze(dir: string): Promise<void> {
    this.#copy = copyModel(this.#session.model, this.#runtime.numeric);
    // Whole or absent, as checkpoints are: a run that stops here finds no half of it.
    const { storage } = this.#runtime;
    await storage.remove(`${dir}.writing`);
    await saveModel({ ...this.#session.loaded, model: this.#copy }, storage, `${dir}.writing`);
    await storage.rename(`${dir}.writing`, dir);
  }

  #beginMoving(): void {
    const { recipe } = this.#follows ?? {};
    if (!recipe?.reference) return;
    const { device, parameters } = this.#session.model;
    this.#moving = new MovingWeights(device, parameters, this.#copy!.parameters, recipe.reference.keeps ?? []);
  }

  /** Moves the reference as the recipe says, after step `step`. */
  follow(step: number): void {
    if (this.#moving) this.#moving.move(this.#follows!.recipe.reference!.moves(step, this.#follows!.params));
  }

  /** What a checkpoint needs of a reference that moves. */
  async saveFiles(storage: Storage, dir: string): Promise<void> {
    if (!this.#moving) return;
    await saveModel({ ...this.#session.loaded, model: this.#copy! }, storage, `${dir}/reference`);
    await this.#moving.save(storage, `${dir}/reference/kept.safetensors`);
  }

  /** The weights of a model folder of the same shapes; without one, the model as it is now. */
  async load(dir: string | null): Promise<void> {
    if (this.kind === "model") return this.#open();
    if (this.kind !== "copy") return;
    const { storage, device, numeric } = this.#runtime;
    this.#copy = copyModel(this.#session.model, numeric);
    if (dir === null) return;
    const { tensors } = await openModelDirectory(storage, dir);
    for (const p of this.#copy.parameters.values()) device.write(p.value, await tensors.get(p.name)!.load());
  }

  async #open(): Promise<void> {
    const { device, numeric, storage } = this.#runtime;
    const { loaded: own, model } = this.#session;
    const dir = this.#directory as string;
    const other = await loadModel(device, numeric, storage, dir, {
      precision: model.precision,
      maxTokens: model.maxTokens,
    });
    this.#copy = other.model;
    const fault = mismatch(own, other);
    if (fault) throw new CohortError("bad-model", `reference ${dir}: ${fault}`, "give a model of the same tokenizer");
  }

  /** Log-probabilities of the scored tokens, nats; undefined where there is no reference. */
  async logp(
    sequences: readonly Sequence[],
    options: { microBatches: number; temperature: number },
  ): Promise<Float32Array | undefined> {
    if (this.kind === "none") return undefined;
    const session = this.#session;
    const context = this.#copy?.maxTokens ?? Number.POSITIVE_INFINITY;
    const long = sequences.find(({ ids }) => ids.length > context);
    if (long) {
      throw new CohortError(
        "bad-input",
        `reference ${this.#directory}: a sequence has ${long.ids.length} tokens, its context is ${context}`,
        "shorten the prompts, or lower maxTokens",
      );
    }
    return this.#as(async (model) => (await session.score(sequences, { ...options, model })).logp);
  }

  /** Completions of the reference, as `Session.sample` draws them. */
  sample(...[prompts, counts, options, random]: Parameters<Session["sample"]>): Promise<Completion[]> {
    return this.#as((model) => this.#session.sample(prompts, counts, options, random, model));
  }

  /** The reference's pass over sequences, kept for its logits. */
  hold(packed: Packed, temperature: number): HeldPass {
    if (this.#copy) return this.#copy.hold(packed, temperature);
    const { lora } = this.#session.model;
    lora!.enabled = false;
    try {
      return this.#session.model.hold(packed, temperature);
    } finally {
      lora!.enabled = true;
    }
  }

  /** Runs with the model that is the reference: the copy, or the policy's own with its adapters off. */
  async #as<T>(run: (model: Transformer) => Promise<T>): Promise<T> {
    const { model } = this.#session;
    if (this.#copy) return run(this.#copy);
    model.lora!.enabled = false;
    try {
      return await run(model);
    } finally {
      model.lora!.enabled = true;
    }
  }

  close(): void {
    this.#moving?.close();
    this.#copy?.close();
  }
}

/** Why two models cannot be compared token by token; null where they can. */
function mismatch(own: LoadedModel, other: LoadedModel): string | null {
  const [a, b] = [own.model.config.vocabSize, other.model.config.vocabSize];
  if (other.model.config.scoreHead) return "a reward model, which has no logits";
  if (a !== b) return `a vocabulary of ${b} tokens, the trained model's has ${a}`;
  // Every id's text, as far as a tokenizer can say it: equal sizes are no equal tokens.
  const text = ({ tokenizer }: LoadedModel, id: number) => tokenizer.decode([id], { skipSpecial: false });
  for (let id = 0; id < a; id++) {
    const [mine, its] = [text(own, id), text(other, id)];
    if (mine !== its) return `token ${id} is ${JSON.stringify(its)}, the trained model's is ${JSON.stringify(mine)}`;
  }
  return null;
}
