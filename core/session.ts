/**
 * @file The low level for embedding, four verbs over a model: `sample`, `forwardBackward`, `optimStep`,
 * `saveState`/`loadState`. No algorithm inside: a loss arrives as dlogp (and dentropy), one number a scored token.
 */
import type { Device } from "./device.ts";
import { CohortError } from "./errors.ts";
import { isRecord, known, number, shown } from "./given.ts";
import { readText, type Storage } from "./host.ts";
import type { Numeric } from "./math.ts";
import { openAdapter } from "./model/adapter.ts";
import { openModelDirectory } from "./model/directory.ts";
import { type LoadedModel, makeTrainable, saveLora, saveModel } from "./model/load.ts";
import { LayerNoise, type NoiseKey, type PassNoise, rowTrajectories } from "./model/noise.ts";
import { AdamW, checkedOptimizer, type OptimizerOptions } from "./model/optimizer.ts";
import { type Packed, pack, promptRuns, type Sequence } from "./model/pack.ts";
import { digest } from "./model/parameters.ts";
import { loadTensor, openSafetensors, writeSafetensors } from "./model/safetensors.ts";
import type { HeldPass, Scores, SeeLogits, Transformer } from "./model/transformer.ts";
import type { Rows } from "./recipe.ts";
import { type Completion, generate, type RandomKey, type SamplingOptions } from "./rollout.ts";

export type { Sequence } from "./model/pack.ts";

/** Scored tokens of several sequences, one after the other; offsets as in `Packed`. */
export interface SequenceScores extends Scores {
  /** [sequences + 1] */
  offsets: Uint32Array;
}

/** Rows over the vocabulary as a pass comes by them, chunk after chunk. */
export interface RowOptions {
  /** The reference policy's pass over the same sequences: its rows come along. */
  beside?: (packed: Packed, temperature: number) => HeldPass;
}

export class Session {
  readonly device: Device;
  readonly loaded: LoadedModel;
  readonly optimizer: AdamW;
  #closed = false;

  /**
   * @param optimizer all of its options: none has a default here
   * @param noise gives the passes that ask for it noise in their hidden states, with a learned scale: its first value
   *   (0: none at all) and its peak learning rate
   * @throws CohortError("bad-input") for options of the optimiser that are missing, unknown or out of range
   */
  constructor(
    device: Device,
    numeric: Numeric,
    loaded: LoadedModel,
    optimizer: OptimizerOptions,
    noise?: { start: number; learningRate: number },
  ) {
    checkedOptimizer(optimizer);
    if (noise) for (const name of ["start", "learningRate"] as const) number("noise", name, noise[name], { least: 0 });
    this.device = device;
    this.loaded = loaded;
    makeTrainable(loaded.model);
    if (noise && noise.start > 0) {
      const { layers, hiddenSize: width } = loaded.model.config;
      loaded.model.noise = new LayerNoise(device, numeric, { layers, width }, noise.start, noise.learningRate);
    }
    this.optimizer = new AdamW(device, numeric, loaded.model.trainable, optimizer);
  }

  get model(): Transformer {
    return this.loaded.model;
  }

  /**
   * `perPrompt` completions of each prompt (token ids), of `model` (default: the trained one).
   * @throws CohortError("bad-input") for options, keys and ids that are missing or out of range
   */
  async sample(
    prompts: readonly ArrayLike<number>[],
    perPrompt: number | readonly number[],
    options: Omit<SamplingOptions, "stopIds">,
    random: RandomKey,
    model: Transformer = this.model,
  ): Promise<Completion[]> {
    this.#open("sample");
    return generate(model, prompts, perPrompt, { ...options, stopIds: this.loaded.stopIds }, random);
  }

  /**
   * Log-probabilities and entropies of the scored tokens under `model` (default: the trained one).
   * @param options.see is shown the rows over the vocabulary, and may ask for the hidden states [rows, C] behind them
   * @param options.noise the pass has this noise in its hidden states (nothing where the session was made without)
   * @throws CohortError("bad-input") for options that there are none of or that are out of range, and for sequences that
   *   cannot be scored
   */
  async score(
    sequences: readonly Sequence[],
    options: {
      microBatches?: number;
      temperature?: number;
      model?: Transformer;
      see?: (rows: Rows, hidden: () => Promise<Float32Array>) => Promise<void> | void;
      noise?: NoiseKey;
    } & RowOptions = {},
  ): Promise<SequenceScores> {
    this.#check("score", sequences, options, scoreNames);
    const { microBatches = 1, temperature = 1, model = this.model, see, beside, noise } = options;
    const parts: Scores[] = [];
    let at = 0;
    const next = this.#noiseOf(sequences, noise);
    // Going forward, a shared prompt gives the same bits; with noise every trajectory has a prompt of its own.
    for (const packed of this.#pieces(sequences, microBatches, !noise)) {
      const held = see && beside?.(packed, temperature);
      const own = await next(packed);
      parts.push(await model.score(packed, temperature, see && seeRows(see, at, held), own));
      own?.close();
      held?.close();
      at += packed.rows.length;
    }
    return { ...join(parts), offsets: offsetsOf(sequences) };
  }

  /** Logits over the temperature at the scored tokens [T, V], on the host. */
  async logits(
    sequences: readonly Sequence[],
    options: { microBatches?: number; temperature?: number; model?: Transformer } = {},
  ): Promise<Float32Array> {
    this.#check("logits", sequences, options, logitsNames);
    const { microBatches = 1, temperature = 1, model = this.model } = options;
    const { vocabSize } = model.config;
    const all = new Float32Array(offsetsOf(sequences)[sequences.length] * vocabSize);
    const see = ({ first, logits }: Rows) => all.set(logits, first * vocabSize);
    await this.score(sequences, { microBatches, temperature, model, see });
    return all;
  }

  /**
   * Adds the gradient of Σ dlogp·logp + Σ dentropy·H over the scored tokens of all sequences. How they are split into
   * micro-batches changes no bit of it.
   * @param options.sharePrompts compute the prompt of neighbours that have the same one once, forward and backward; then
   *   such neighbours stay in one micro-batch, and the gradient agrees with the unshared one but for rounding
   * @param options.noise as of `score`; no prompt is shared then, each trajectory has noise of its own
   * @param objective dlogp (and dentropy) of each scored token, sequence by sequence; dlogits by the logits over the
   *   temperature: [T, V], or what to say of some rows of them [n, V] when they are shown
   * @returns the scores that the forward pass gave
   * @throws CohortError("bad-input") where a derivative is no finite number, and as `score`
   */
  async forwardBackward(
    sequences: readonly Sequence[],
    objective: {
      dlogp: ArrayLike<number>;
      dentropy?: ArrayLike<number>;
      dlogits?: ArrayLike<number> | ((rows: Rows) => ArrayLike<number>);
    },
    options: {
      microBatches?: number;
      temperature?: number;
      sharePrompts?: boolean;
      noise?: NoiseKey;
    } & RowOptions = {},
  ): Promise<SequenceScores> {
    this.#check("forwardBackward", sequences, options, trainNames);
    if (!isRecord(objective)) {
      const remedy = "give { dlogp }, one number for each scored token";
      throw new CohortError("bad-input", `forwardBackward: the objective is ${shown(objective)}`, remedy);
    }
    known("forwardBackward", objective, objectiveNames, "a derivative");
    const { microBatches = 1, temperature = 1, sharePrompts = false, beside, noise } = options;
    const offsets = offsetsOf(sequences);
    const scored = offsets[sequences.length];
    const { vocabSize } = this.model.config;
    checkDerivatives("forwardBackward: dlogp", objective.dlogp, scored);
    if (objective.dentropy) checkDerivatives("forwardBackward: dentropy", objective.dentropy, scored);
    const { dlogits: given } = objective;
    const whole = given && typeof given !== "function" ? wholeRows(given, scored, vocabSize) : null;
    const dlogits =
      typeof given === "function"
        ? checkedRows(given, vocabSize)
        : whole && (({ first, count }: Rows) => whole.subarray(first * vocabSize, (first + count) * vocabSize));
    const dlogp = Float32Array.from(objective.dlogp);
    const dentropy = objective.dentropy && Float32Array.from(objective.dentropy);
    const packs = this.#pieces(sequences, microBatches, sharePrompts && !noise);
    const next = this.#noiseOf(sequences, noise);
    this.model.beginStep(packs);
    const parts: Scores[] = [];
    let at = 0;
    for (const packed of packs) {
      const to = at + packed.rows.length;
      const held = dlogits && beside?.(packed, temperature);
      const own = await next(packed);
      parts.push(
        await this.model.forwardBackward(
          packed,
          dlogp.subarray(at, to),
          dentropy?.subarray(at, to) ?? null,
          temperature,
          dlogits && seeRows(dlogits, at, held ?? null),
          own,
        ),
      );
      own?.close();
      held?.close();
      at = to;
    }
    this.model.endStep();
    await this.model.noise?.endStep();
    return { ...join(parts), offsets };
  }

  /** L2 norm of the gradient of each sequence's log-likelihood Σ lp, by the trainable parameters, before any clipping. */
  async gradientNorms(sequences: readonly Sequence[], options: { temperature?: number } = {}): Promise<number[]> {
    this.#check("gradientNorms", sequences, options);
    const { temperature = 1 } = options;
    const norms: number[] = [];
    for (const sequence of sequences) {
      const dlogp = new Float32Array(sequence.ids.length - sequence.from).fill(1);
      await this.forwardBackward([sequence], { dlogp }, { temperature });
      norms.push((await this.optimizer.gradNorm()).total);
    }
    return norms;
  }

  /** The score head's number at the last id of each sequence. */
  async rewards(sequences: readonly Sequence[], options: { microBatches?: number } = {}): Promise<Float32Array> {
    this.#check("rewards", sequences, options);
    return this.values(throughLast(sequences), options);
  }

  /** The score head's number before each scored id of the sequences: at the ids that a scored one follows. */
  async values(sequences: readonly Sequence[], options: { microBatches?: number } = {}): Promise<Float32Array> {
    this.#check("values", sequences, options);
    const parts: Float32Array[] = [];
    for (const packed of this.#pieces(sequences, options.microBatches ?? 1)) {
      parts.push(await this.model.readout(packed));
    }
    return Float32Array.from(parts.flatMap((part) => [...part]));
  }

  /**
   * Adds the gradient of Σ dreward·reward over the sequences; micro-batches change no bit of it.
   * @returns the rewards that the forward pass gave
   */
  async forwardBackwardRewards(
    sequences: readonly Sequence[],
    dreward: ArrayLike<number>,
    options: { microBatches?: number } = {},
  ): Promise<Float32Array> {
    this.#check("forwardBackwardRewards", sequences, options);
    return this.forwardBackwardValues(throughLast(sequences), dreward, options);
  }

  /** Likewise of Σ dvalue·value over the scored ids. */
  async forwardBackwardValues(
    sequences: readonly Sequence[],
    dvalue: ArrayLike<number>,
    options: { microBatches?: number } = {},
  ): Promise<Float32Array> {
    this.#check("forwardBackwardValues", sequences, options);
    checkDerivatives("forwardBackwardValues: the derivative", dvalue, offsetsOf(sequences)[sequences.length]);
    const derivative = Float32Array.from(dvalue);
    const packs = this.#pieces(sequences, options.microBatches ?? 1);
    this.model.beginStep(packs);
    const values = new Float32Array(derivative.length);
    let at = 0;
    for (const packed of packs) {
      const to = at + packed.rows.length;
      values.set(await this.model.readout(packed, derivative.subarray(at, to)), at);
      at = to;
    }
    this.model.endStep();
    return values;
  }

  /**
   * One AdamW step on the gradients of the last `forwardBackward`.
   * @param total optimiser steps of the whole run, at least 1, for the schedule
   */
  async optimStep(total: number): Promise<{ gradNorm: number; learningRate: number }> {
    this.#open("optimStep");
    return this.optimizer.step(total);
  }

  /** The 64-bit fingerprint of all weights, 16 hexadecimal digits. */
  async digest(): Promise<string> {
    this.#open("digest");
    return digest(this.device, this.model.all);
  }

  /** Weights (or adapters) in Hugging Face's layout, optimiser moments, and `state` of the caller's own. */
  async saveState(storage: Storage, dir: string, state: Record<string, unknown>): Promise<void> {
    this.#open("saveState");
    const { model, device, optimizer } = this;
    if (model.lora) await saveLora(model, storage, dir);
    else await saveModel(this.loaded, storage, dir);
    const moments = optimizer.parameters.flatMap((p, i) =>
      (["m", "v"] as const).map((which) => ({
        name: `${p.name}.${which}`,
        shape: p.shape,
        dtype: "F32" as const,
        data: () => device.readF32(optimizer.moments[i][which]),
      })),
    );
    await writeSafetensors(storage, `${dir}/optimizer.safetensors`, moments);
    if (model.noise) {
      const { name, shape, value } = model.noise.logScale;
      const data = () => device.readF32(value);
      await writeSafetensors(storage, `${dir}/${NOISE_FILE}`, [{ name, shape, dtype: "F32" as const, data }]);
    }
    const json = { ...state, optimizerSteps: optimizer.steps, digest: await this.digest() };
    await storage.write(`${dir}/state.json`, `${JSON.stringify(json, null, 2)}\n`);
  }

  /**
   * Back to what `saveState` wrote, bit for bit.
   * @returns the caller's state
   * @throws CohortError where the folder is of another model or damaged (the digest is compared)
   */
  async loadState(storage: Storage, dir: string): Promise<Record<string, unknown>> {
    this.#open("loadState");
    const { model, device, optimizer } = this;
    const state = JSON.parse(await readText(storage, `${dir}/state.json`)) as Record<string, unknown>;
    if (model.lora) {
      const adapter = await openAdapter(storage, dir, model.config);
      for (const t of adapter.tensors) {
        const pair = model.lora.pairs.get(t.module);
        if (!pair) {
          throw new CohortError("bad-model", `${dir}: an adapter of ${t.module}`, "use the run's own lora settings");
        }
        device.write(pair.a.value, await t.loadA());
        device.write(pair.b.value, await t.loadB());
      }
    } else {
      const { tensors } = await openModelDirectory(storage, dir);
      for (const p of model.parameters.values()) {
        const tensor = tensors.get(p.name);
        if (tensor?.shape.join() !== p.shape.join()) {
          throw new CohortError(
            "bad-model",
            `${dir}: ${p.name} is [${tensor?.shape}], the model's is [${p.shape}]`,
            "continue with the model that the run began with",
          );
        }
        device.write(p.value, await tensor.load());
      }
    }
    if (model.noise) {
      const { name, value } = model.noise.logScale;
      const entry = (await openSafetensors(storage, `${dir}/${NOISE_FILE}`)).tensors.get(name);
      if (!entry) throw new CohortError("bad-model", `${dir}: no ${name}`, "continue from another checkpoint");
      device.write(value, await loadTensor(storage, entry));
    }
    const file = await openSafetensors(storage, `${dir}/optimizer.safetensors`);
    for (const [i, p] of optimizer.parameters.entries()) {
      for (const which of ["m", "v"] as const) {
        const entry = file.tensors.get(`${p.name}.${which}`);
        if (!entry) {
          throw new CohortError("bad-model", `${dir}: no moments of ${p.name}`, "continue from another checkpoint");
        }
        device.write(optimizer.moments[i][which], await loadTensor(storage, entry));
      }
    }
    optimizer.restore(state.optimizerSteps as number);
    const now = await this.digest();
    if (now !== state.digest) {
      throw new CohortError(
        "bad-model",
        `${dir}: the weights' digest is ${now}, the checkpoint says ${state.digest}`,
        "the checkpoint, or the adapter's base model, was changed: continue from another one",
      );
    }
    return state;
  }

  /** Frees the optimiser and the model; every later call fails. Closing twice is closing once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.optimizer.close();
    this.model.close();
  }

  #open(verb: string): void {
    if (this.#closed) throw new CohortError("bad-input", `${verb}: the session is closed`, "make another one");
  }

  /** @param names of the options, where others are refused */
  #check(
    verb: string,
    sequences: readonly Sequence[],
    options: { microBatches?: number; temperature?: number },
    names?: Readonly<Record<string, true>>,
  ): void {
    this.#open(verb);
    if (names) known(verb, options, names);
    const { microBatches, temperature } = options;
    if (microBatches !== undefined) number(verb, "microBatches", microBatches, { least: 1, whole: true });
    if (temperature !== undefined) number(verb, "temperature", temperature, { least: 0, within: true });
    checkSequences(verb, sequences);
  }

  /** The noise of one piece after another of the sequences. */
  #noiseOf(sequences: readonly Sequence[], key: NoiseKey | undefined): (piece: Packed) => Promise<PassNoise | null> {
    const { noise } = this.model;
    if (!noise || !key) return async () => null;
    const trajectories = rowTrajectories(sequences, key.trajectories);
    let at = 0;
    return ({ positions }) => {
      at += positions.length;
      return noise.pass(positions, trajectories.subarray(at - positions.length, at), key);
    };
  }

  /** Contiguous pieces of about equal numbers of sequences; with `share`, those of one prompt in one piece. */
  #pieces(sequences: readonly Sequence[], count: number, share = false): Packed[] {
    const { maxTokens, config } = this.model;
    const size = Math.max(1, Math.ceil(sequences.length / count));
    const pieces: Packed[] = [];
    const ends = share ? promptRuns(sequences).map(([, behind]) => behind) : null;
    for (let at = 0; at < sequences.length; ) {
      const to = ends?.find((end) => end >= at + size) ?? Math.min(at + size, sequences.length);
      pieces.push(pack(sequences.slice(at, to), maxTokens, config.vocabSize, { share }));
      at = to;
    }
    return pieces;
  }
}

/** Beside the model's weights in a checkpoint: other programs read the model without it. */
const NOISE_FILE = "noise.safetensors";

/** Every name of an options type: one that is added there and forgotten here does not compile. */
type Names<T> = Record<keyof T, true>;
type Options<Verb extends "score" | "logits" | "forwardBackward", At extends number> = NonNullable<
  Parameters<Session[Verb]>[At]
>;

const logitsNames: Names<Options<"logits", 1>> = { microBatches: true, temperature: true, model: true };
const scoreNames: Names<Options<"score", 1>> = { ...logitsNames, see: true, noise: true, beside: true };
const trainNames: Names<Options<"forwardBackward", 2>> = {
  microBatches: true,
  temperature: true,
  sharePrompts: true,
  noise: true,
  beside: true,
};
const objectiveNames: Names<Options<"forwardBackward", 1>> = { dlogp: true, dentropy: true, dlogits: true };

function checkSequences(verb: string, sequences: readonly Sequence[]): void {
  const remedy = "give { ids, from }: token ids, and the index of the first one that is scored";
  if (!Array.isArray(sequences)) {
    throw new CohortError("bad-input", `${verb}: the sequences are ${shown(sequences)}`, `${remedy}, in a list`);
  }
  sequences.forEach((sequence: Sequence, i) => {
    const at = `${verb}: sequence ${i}`;
    if (!isRecord(sequence)) throw new CohortError("bad-input", `${at} is ${shown(sequence)}`, remedy);
    const { ids, from } = sequence;
    if (typeof ids !== "object" || typeof ids?.length !== "number") {
      throw new CohortError("bad-input", `${at}: ids is ${shown(ids)}`, "give a list of token ids (tokenizer.encode)");
    }
    if (Number.isInteger(from) && from >= 1 && from <= ids.length) return;
    const message = `${at}: from is ${shown(from)}, with ${ids.length} ids`;
    throw new CohortError("bad-input", message, "score from 1 (the first token is predicted by nothing) to the end");
  });
}

/** Throws where there is no derivative for each of `count`: what is not finite would be a gradient of 0 unnoticed. */
function checkDerivatives(at: string, data: ArrayLike<number>, count: number, vocab?: number): void {
  const each = vocab ? "give one for each and each entry of the vocabulary" : "give one for each";
  if (typeof data !== "object" || typeof data?.length !== "number") {
    throw new CohortError("bad-input", `${at} is ${shown(data)} where numbers for scored tokens are wanted`, each);
  }
  if (data.length !== count) {
    const tokens = vocab ? count / vocab : count;
    throw new CohortError("bad-input", `${at} has ${data.length} numbers for ${tokens} scored tokens`, each);
  }
  for (let t = 0; t < count; t++) {
    const x: unknown = data[t];
    if (typeof x === "number" && Number.isFinite(Math.fround(x))) continue;
    throw new CohortError("bad-input", `${at}[${t}] is ${shown(x)}`, "give a finite f32 number");
  }
}

function wholeRows(dlogits: ArrayLike<number>, scored: number, vocab: number): Float32Array {
  checkDerivatives("forwardBackward: dlogits", dlogits, scored * vocab, vocab);
  return Float32Array.from(dlogits);
}

const checkedRows =
  (dlogits: (rows: Rows) => ArrayLike<number>, vocab: number) =>
  (rows: Rows): ArrayLike<number> => {
    const given = dlogits(rows);
    checkDerivatives(`forwardBackward: dlogits of rows from ${rows.first} on`, given, rows.count * vocab, vocab);
    return given;
  };

/** A pass computes all ids but the last: with one more, which nothing reads, the last position is the last id's. */
const throughLast = (sequences: readonly Sequence[]): Sequence[] =>
  sequences.map(({ ids }) => ({ ids: [...Array.from(ids), 0], from: ids.length }));

/** Rows of a piece that begins at token `from`, with the other model's beside them. */
function seeRows<T>(
  see: (rows: Rows, hidden: () => Promise<Float32Array>) => Promise<T> | T,
  from: number,
  held: HeldPass | null | undefined,
): SeeLogits<T> {
  return async (at, count, logits, hidden) =>
    see({ first: from + at, count, logits, reference: held ? await held.logits(at, count) : null }, hidden!);
}

function offsetsOf(sequences: readonly Sequence[]): Uint32Array {
  const offsets = new Uint32Array(sequences.length + 1);
  sequences.forEach(({ ids, from }, i) => {
    offsets[i + 1] = offsets[i] + ids.length - from;
  });
  return offsets;
}

function join(parts: readonly Scores[]): Scores {
  const n = parts.reduce((sum, p) => sum + p.logp.length, 0);
  const scores = { logp: new Float32Array(n), entropy: new Float32Array(n) };
  let at = 0;
  for (const part of parts) {
    scores.logp.set(part.logp, at);
    scores.entropy.set(part.entropy, at);
    at += part.logp.length;
  }
  return scores;
}
