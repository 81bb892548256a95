/**
 * @file The decoder: pre-norm blocks of RoPE grouped-query attention and SwiGLU, as Llama, Qwen2 and Qwen3 have them.
 *
 * One forward pass serves scoring, training, prefill and decoding, with the same bits: what a token gets is a function of
 * the tokens before it alone (docs: exactness, rule 3). The backward pass begins at dlogp and dentropy and knows no
 * algorithm. Letters: T positions of a pass, C width, V vocabulary, S scored positions.
 */
import type { Device, DeviceBuffer, Precision } from "../device.ts";
import { CohortError } from "../errors.ts";
import { type Activation, Tape } from "../graph.ts";
import type { ModelConfig } from "./config.ts";
import { HEAD_STRIDE, scalarHead } from "./head.ts";
import type { Lora, LoraPair } from "./lora.ts";
import type { LayerNoise, PassNoise } from "./noise.ts";
import { type Packed, placesByValue, type WholeSequences } from "./pack.ts";
import type { Parameter, Parameters } from "./parameters.ts";

/** cos and sin of the rotary angles, [positions, headDim / 2]. */
export interface RopeTable {
  cos: DeviceBuffer;
  sin: DeviceBuffer;
  rows: number;
}

/** Keys and values of all layers, [rows, kvHeads · headDim] each. */
export interface KvCache {
  readonly keys: readonly DeviceBuffer[];
  readonly values: readonly DeviceBuffer[];
  readonly rows: number;
}

/** Which tokens go through a pass, on the device. */
interface PassInput {
  tokens: DeviceBuffer;
  positions: DeviceBuffer;
  table: DeviceBuffer;
  rows: number;
  /** of the table */
  entries: number;
  maxKeys: number;
  /** Where prompts are shared. */
  whole?: { rows: DeviceBuffer; first: DeviceBuffer; table: DeviceBuffer; of: WholeSequences };
  /** Decoding: keys and values go to these rows of the cache and attention reads the cache. */
  cache?: { store: KvCache; index: DeviceBuffer };
}

/** Per scored token: log-probability of the token and entropy of its distribution, nats. */
export interface Scores {
  logp: Float32Array;
  entropy: Float32Array;
}

/** A forward pass whose logits can be asked for, chunk by chunk, until it is closed. */
export interface HeldPass {
  /** Logits over the temperature of `rows` scored positions from `at` on, [rows, V], on the host. */
  logits(at: number, rows: number): Promise<Float32Array>;
  close(): void;
}

/**
 * Is shown the logits over the temperature of scored positions `at`, `at` + 1, …, [rows, V], a chunk at a time, and may ask
 * for the hidden states [rows, C] that the head made them from.
 */
export type SeeLogits<T = void> = (
  at: number,
  rows: number,
  logits: Float32Array,
  hidden?: () => Promise<Float32Array>,
) => Promise<T> | T;

/** Where embedding gradients of one optimiser step gather: a row for each distinct token of the step. */
interface EmbeddingGradient {
  slotOf: Map<number, number>;
  ids: Uint32Array;
  buffer: DeviceBuffer;
}

/** A linear layer's names: a pass asks for each of them, so they are made once. */
interface Linear {
  module: string;
  weight: string;
  bias: string;
}

const linear = (module: string): Linear => ({ module, weight: `${module}.weight`, bias: `${module}.bias` });

function layerNames(l: number) {
  const layer = `model.layers.${l}`;
  const attention = `${layer}.self_attn`;
  return {
    before: `${layer}.input_layernorm.weight`,
    q: linear(`${attention}.q_proj`),
    k: linear(`${attention}.k_proj`),
    v: linear(`${attention}.v_proj`),
    qNorm: `${attention}.q_norm.weight`,
    kNorm: `${attention}.k_norm.weight`,
    o: linear(`${attention}.o_proj`),
    between: `${layer}.post_attention_layernorm.weight`,
    gate: linear(`${layer}.mlp.gate_proj`),
    up: linear(`${layer}.mlp.up_proj`),
    down: linear(`${layer}.mlp.down_proj`),
  };
}

/** Logits in memory at a time, in floats: a chunk of positions × V, never all positions. */
const LOGIT_WORDS = 1 << 20;

export class Transformer {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly parameters: Parameters;
  readonly precision: Precision;
  lora: Lora | null = null;
  /** Where training passes may have noise in their hidden states. */
  noise: LayerNoise | null = null;
  readonly #rope: RopeTable;
  readonly #nothing: DeviceBuffer;
  readonly #attentionScale: number;
  readonly #layers: readonly ReturnType<typeof layerNames>[];
  #embedding: EmbeddingGradient | null = null;

  constructor(device: Device, config: ModelConfig, parameters: Parameters, rope: RopeTable, precision: Precision) {
    this.device = device;
    this.config = config;
    this.parameters = parameters;
    this.precision = precision;
    this.#rope = rope;
    this.#nothing = device.alloc(1, "no bias");
    this.#attentionScale = Math.fround(1 / Math.sqrt(config.headDim));
    this.#layers = Array.from({ length: config.layers }, (_, l) => layerNames(l));
  }

  /** Longest sequence: the context, or less where less was asked for at loading. */
  get maxTokens(): number {
    return this.#rope.rows;
  }

  /** The parameters that are trained: the adapters' where there are any, else all that have a gradient; of noise its scale. */
  get trainable(): Parameter[] {
    return this.all.filter((p) => p.grad);
  }

  /** All parameters, adapters and the scale of noise last. */
  get all(): Parameter[] {
    const adapters = this.lora ? [...this.lora.pairs.values()].flatMap(({ a, b }) => [a, b]) : [];
    return [...this.parameters.values(), ...adapters, ...(this.noise ? [this.noise.logScale] : [])];
  }

  /** Log-probabilities and entropies of the scored tokens, without keeping anything. */
  async score(
    packed: Packed,
    temperature = 1,
    see: SeeLogits | null = null,
    noise: PassNoise | null = null,
  ): Promise<Scores> {
    const tape = new Tape(this.device, false);
    const input = this.#upload(packed);
    const hidden = this.#forward(tape, input, undefined, noise);
    const scored = await this.#vocabulary(hidden, packed, temperature, { see });
    tape.drop(hidden);
    const scores = await this.#collect(scored, packed.rows.length);
    this.#release(input);
    return scores;
  }

  /** A forward pass that keeps its last hidden states [T, C], for logits beside those of another model's pass. */
  hold(packed: Packed, temperature = 1): HeldPass {
    const { device, maxTokens } = this;
    const { hiddenSize: C } = this.config;
    const last = packed.positions.reduce((most, place) => Math.max(most, place), 0);
    if (last >= maxTokens) {
      throw new CohortError(
        "bad-input",
        `hold: a sequence has ${last + 1} tokens or more, the context is ${maxTokens}`,
        "shorten it",
      );
    }
    const tape = new Tape(device, false);
    const input = this.#upload(packed);
    const hidden = this.#forward(tape, input);
    const index = this.#words(packed.rows, "scored rows");
    const invT = Math.fround(1 / temperature);
    return {
      logits: async (at, rows) => {
        const picked = device.alloc(rows * C, "hidden of a chunk");
        const z = device.alloc(rows * this.#logitStride, "logits of a chunk");
        device.run("gather_rows", picked, hidden.buffer, index, rows, C, at);
        this.#logits(z, picked, rows);
        const read = await this.#readLogits(z, rows, invT);
        device.free(picked);
        device.free(z);
        return read;
      },
      close: () => {
        tape.drop(hidden);
        device.free(index);
        this.#release(input);
      },
    };
  }

  /**
   * Zeroes the gradients for an optimiser step over these tokens (all micro-batches together). Gradients then accumulate
   * token by token in the order given, so that a split into micro-batches changes no bit.
   */
  beginStep(packs: Iterable<{ tokens: Uint32Array }>): void {
    for (const p of this.trainable) this.device.run("fill", p.grad!, p.size, 0);
    this.noise?.beginStep();
    const table = this.parameters.get("model.embed_tokens.weight")!;
    if (!table.grad) return;
    const distinct = new Set<number>();
    for (const { tokens } of packs) for (const id of tokens) distinct.add(id);
    const ids = Uint32Array.from(distinct).sort();
    const buffer = this.device.alloc(ids.length * this.config.hiddenSize, "embedding gradient");
    this.device.run("fill", buffer, buffer.length, 0);
    this.#embedding = { slotOf: new Map([...ids].map((id, slot) => [id, slot])), ids, buffer };
  }

  /**
   * One micro-batch: forward, then backward from dlogp and dentropy of its S scored tokens, and from what `dlogits` says of
   * each chunk [rows, V] of the logits over the temperature; gradients accumulate.
   * @returns the scores that the forward pass gave, to be compared with those that dlogp was computed from
   */
  async forwardBackward(
    packed: Packed,
    dlogp: Float32Array,
    dentropy: Float32Array | null,
    temperature = 1,
    dlogits: SeeLogits<ArrayLike<number>> | null = null,
    noise: PassNoise | null = null,
  ): Promise<Scores> {
    if (dlogp.length !== packed.rows.length) {
      throw new CohortError(
        "bad-input",
        `forwardBackward: ${dlogp.length} dlogp for ${packed.rows.length} scored tokens`,
        "give one number for each",
      );
    }
    const tape = new Tape(this.device, true);
    const input = this.#upload(packed);
    const hidden = this.#forward(tape, input, packed, noise);
    const scored = await this.#vocabulary(hidden, packed, temperature, { backward: { dlogp, dentropy, dlogits } });
    tape.backward();
    const scores = await this.#collect(scored, packed.rows.length);
    this.#release(input);
    return scores;
  }

  /**
   * The score head at the scored positions: w · h, one number each. With `derivative` (one a position) also the backward
   * pass; gradients accumulate.
   */
  async readout(packed: Packed, derivative: Float32Array | null = null): Promise<Float32Array> {
    const { device } = this;
    const tape = new Tape(device, derivative !== null);
    const input = this.#upload(packed);
    const hidden = this.#forward(tape, input, packed);
    const values = scalarHead(device, this.#parameter("score.weight"), hidden, packed.rows, derivative);
    if (derivative) tape.backward();
    else tape.drop(hidden);
    const numbers = await device.readF32(values, 0, HEAD_STRIDE * packed.rows.length);
    device.free(values);
    this.#release(input);
    return Float32Array.from(packed.rows, (_, k) => numbers[HEAD_STRIDE * k]);
  }

  /** Ends the step: the embedding's gradient is added to the weight's (which the output head may share). */
  endStep(): void {
    const step = this.#embedding;
    if (!step) return;
    const { device } = this;
    const index = this.#words(step.ids, "embedding rows");
    const grad = this.parameters.get("model.embed_tokens.weight")!.grad!;
    device.run("scatter_add_rows", grad, step.buffer, index, step.ids.length, this.config.hiddenSize);
    device.free(index);
    device.free(step.buffer);
    this.#embedding = null;
  }

  newCache(rows: number): KvCache {
    const words = rows * this.config.kvHeads * this.config.headDim;
    const layers = Array.from({ length: this.config.layers });
    return {
      keys: layers.map((_, l) => this.device.alloc(words, `keys ${l}`)),
      values: layers.map((_, l) => this.device.alloc(words, `values ${l}`)),
      rows,
    };
  }

  freeCache(cache: KvCache): void {
    for (const buffer of [...cache.keys, ...cache.values]) this.device.free(buffer);
  }

  /**
   * One pass through the cache, and logits of some of its rows sampled from.
   * @param step tokens [T], positions [T], cacheRows [T] where their keys and values go, table (attention.ts), logitRows
   *   [R] rows of the pass to sample at, uniforms [R]
   */
  async decode(
    cache: KvCache,
    step: {
      tokens: Uint32Array;
      positions: Uint32Array;
      cacheRows: Uint32Array;
      table: Uint32Array;
      maxKeys: number;
      logitRows: Uint32Array;
      uniforms: Float32Array;
    },
    sampling: { temperature: number; topK: number; topP: number; minP: number },
  ): Promise<{ ids: Uint32Array } & Scores> {
    const { device, config } = this;
    const tape = new Tape(device, false);
    const input: PassInput = {
      tokens: this.#words(step.tokens, "tokens"),
      positions: this.#words(step.positions, "positions"),
      table: this.#words(step.table, "sequence table"),
      rows: step.tokens.length,
      entries: step.table.length / 6,
      maxKeys: step.maxKeys,
      cache: { store: cache, index: this.#words(step.cacheRows, "cache rows") },
    };
    const n = step.logitRows.length;
    const ld = this.#logitStride;
    const chunk = Math.min(n, Math.max(16, Math.floor(LOGIT_WORDS / ld)));
    const index = this.#words(step.logitRows, "logit rows");
    // Everything is written before the first kernel runs: a write waits for the kernels before it.
    const uniforms = this.#floats(step.uniforms.subarray(0, chunk), "uniforms");
    const hidden = this.#forward(tape, input);
    const picked = device.alloc(chunk * config.hiddenSize, "hidden of a chunk");
    const z = device.alloc(chunk * ld, "logits of a chunk");
    const greedy = sampling.temperature === 0 ? 1 : 0;
    const invT = greedy ? 1 : Math.fround(1 / sampling.temperature);
    const out = { ids: new Uint32Array(n), logp: new Float32Array(n), entropy: new Float32Array(n) };
    const results = {
      ids: device.alloc(chunk, "ids"),
      logp: device.alloc(chunk, "logp"),
      entropy: device.alloc(chunk, "H"),
    };
    for (let at = 0; at < n; at += chunk) {
      const rows = Math.min(chunk, n - at);
      device.run("gather_rows", picked, hidden.buffer, index, rows, config.hiddenSize, at);
      this.#logits(z, picked, rows);
      if (at > 0) device.write(uniforms, step.uniforms.subarray(at, at + rows));
      device.run(
        "sample",
        results.ids,
        results.logp,
        results.entropy,
        z,
        uniforms,
        rows,
        config.vocabSize,
        ld,
        greedy,
        sampling.topK,
        invT,
        sampling.topP,
        sampling.minP,
      );
      // Together: a GPU answers all three in one round trip.
      const [ids, logp, entropy] = await Promise.all([
        device.readU32(results.ids, 0, rows),
        device.readF32(results.logp, 0, rows),
        device.readF32(results.entropy, 0, rows),
      ]);
      out.ids.set(ids, at);
      out.logp.set(logp, at);
      out.entropy.set(entropy, at);
    }
    tape.drop(hidden);
    for (const buffer of [index, picked, z, uniforms, results.ids, results.logp, results.entropy]) device.free(buffer);
    this.#release(input);
    return out;
  }

  close(): void {
    for (const p of this.all) {
      this.device.free(p.value);
      if (p.grad) this.device.free(p.grad);
    }
    this.noise?.close();
    this.device.free(this.#nothing);
    this.device.free(this.#rope.cos);
    this.device.free(this.#rope.sin);
  }

  // ── the pass ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #forward(tape: Tape, input: PassInput, packed?: Packed, noise?: PassNoise | null): Activation {
    const { config } = this;
    let x = this.#embed(tape, input, packed);
    for (let l = 0; l < config.layers; l++) {
      const names = this.#layers[l];
      noise?.perturb(tape, x, l);
      const attended = this.#attention(tape, input, x, l);
      const x2 = this.#linear(tape, attended, names.o, x);
      tape.drop(attended);
      const normed = this.#norm(tape, x2, names.between, 1);
      const gate = this.#linear(tape, normed, names.gate);
      const up = this.#linear(tape, normed, names.up);
      tape.drop(normed);
      const inner = this.#swiglu(tape, gate, up);
      tape.drop(gate, up);
      x = this.#linear(tape, inner, names.down, x2);
      tape.drop(inner);
    }
    const hidden = this.#norm(tape, x, "model.norm.weight", 1);
    tape.drop(x);
    return hidden;
  }

  #embed(tape: Tape, input: PassInput, packed?: Packed): Activation {
    const { device, config } = this;
    const table = this.#parameter("model.embed_tokens.weight");
    const x = tape.activation(input.rows, config.hiddenSize, "embedded");
    device.run("gather_rows", x.buffer, table.value, input.tokens, input.rows, config.hiddenSize, 0);
    tape.record([x], [], () => {
      if (!this.#embedding || !packed) return;
      const { slotOf, buffer } = this.#embedding;
      // Positions sorted by token, then by place: each distinct token's sum has one fixed order.
      const { slots, ...places } = placesByValue(packed.tokens);
      const rows = { slots: slots.map((id) => slotOf.get(id)!), ...places };
      this.#addRows(buffer, x.grad!, rows, config.hiddenSize);
    });
    return x;
  }

  #attention(tape: Tape, input: PassInput, x: Activation, l: number): Activation {
    const { device, config } = this;
    const { heads, kvHeads, headDim } = config;
    const names = this.#layers[l];
    const normed = this.#norm(tape, x, names.before, 1);
    let q = this.#linear(tape, normed, names.q);
    let k = this.#linear(tape, normed, names.k);
    const v = this.#linear(tape, normed, names.v);
    tape.drop(normed);
    if (config.qkNorm) {
      const [rawQ, rawK] = [q, k];
      q = this.#norm(tape, rawQ, names.qNorm, heads);
      k = this.#norm(tape, rawK, names.kNorm, kvHeads);
      tape.drop(rawQ, rawK);
    }
    this.#rotate(tape, input, q, heads);
    this.#rotate(tape, input, k, kvHeads);
    const out = tape.activation(input.rows, heads * headDim, "attended");
    const stats = device.alloc(input.rows * heads * 2, "attention statistics");
    const shape = [heads, kvHeads, headDim, input.maxKeys, this.precision, this.#attentionScale] as const;
    const dims = [input.entries, ...shape] as const;
    if (input.cache) {
      const { store, index } = input.cache;
      device.run("scatter_rows", store.keys[l], k.buffer, index, input.rows, kvHeads * headDim, 0);
      device.run("scatter_rows", store.values[l], v.buffer, index, input.rows, kvHeads * headDim, 0);
      device.run("attention_fwd", out.buffer, stats, q.buffer, store.keys[l], store.values[l], input.table, ...dims);
    } else {
      device.run("attention_fwd", out.buffer, stats, q.buffer, k.buffer, v.buffer, input.table, ...dims);
    }
    tape.record([out], [stats], () => {
      const [dq, dk, dv] = [q, k, v].map((a) => tape.gradOf(a).buffer);
      if (input.whole) {
        const given = { dout: out.grad!, out: out.buffer, stats, q: q.buffer, k: k.buffer, v: v.buffer };
        this.#sharedAttentionBackward(input.whole, { dq, dk, dv }, given, shape);
        return;
      }
      device.run(
        "attention_bwd",
        dq,
        dk,
        dv,
        out.grad!,
        out.buffer,
        stats,
        q.buffer,
        k.buffer,
        v.buffer,
        input.table,
        ...dims,
      );
    });
    tape.drop(q, k, v);
    return out;
  }

  /**
   * Attention's backward pass where prompts are shared: each sequence whole, with a copy of the prompt's rows of its own, and
   * the copies' gradients added up, sequences ascending. The prompt's own queries belong to its first copy; those of the
   * others have no gradient.
   */
  #sharedAttentionBackward(
    { rows, first, table, of }: NonNullable<PassInput["whole"]>,
    to: Record<"dq" | "dk" | "dv", DeviceBuffer>,
    from: Record<"dout" | "out" | "stats" | "q" | "k" | "v", DeviceBuffer>,
    shape: readonly [heads: number, kvHeads: number, dim: number, maxKeys: number, precision: number, scale: number],
  ): void {
    const { device } = this;
    const [heads, kvHeads, dim] = shape;
    const own: DeviceBuffer[] = [];
    const many = of.rows.length;
    const few = of.first.length;
    const [wide, narrow] = [heads * dim, kvHeads * dim];
    const alloc = (width: number) => {
      own.push(device.alloc(many * width, "a whole sequence's"));
      return own.at(-1)!;
    };
    const copies = (x: DeviceBuffer, width: number) => {
      const out = alloc(width);
      device.run("gather_rows", out, x, rows, many, width, 0);
      return out;
    };
    const dout = alloc(wide);
    device.run("fill", dout, many * wide, 0);
    device.run("scatter_rows", dout, from.dout, first, few, wide, 0);
    const [dq, dk, dv] = [alloc(wide), alloc(narrow), alloc(narrow)];
    device.run(
      "attention_bwd",
      dq,
      dk,
      dv,
      dout,
      copies(from.out, wide),
      copies(from.stats, 2 * heads),
      copies(from.q, wide),
      copies(from.k, narrow),
      copies(from.v, narrow),
      table,
      of.entries,
      ...shape,
    );
    device.run("gather_rows", to.dq, dq, first, few, wide, 0);
    const places = placesByValue(of.rows);
    for (const [sum, parts] of [
      [to.dk, dk],
      [to.dv, dv],
    ]) {
      device.run("fill", sum, few * narrow, 0);
      this.#addRows(sum, parts, places, narrow);
    }
    for (const buffer of own) device.free(buffer);
  }

  /** sum[slots[u]] += x[order[e]] for e from starts[u] to starts[u + 1], ascending. */
  #addRows(
    sum: DeviceBuffer,
    x: DeviceBuffer,
    { slots, starts, order }: Record<"slots" | "starts" | "order", Uint32Array>,
    width: number,
  ): void {
    const index = [slots, starts, order].map((w) => this.#words(w, "order of rows"));
    this.device.run("embed_bwd", sum, x, index[0], index[1], index[2], slots.length, width);
    for (const b of index) this.device.free(b);
  }

  /** In place; the adjoint turns the gradient back in place. */
  #rotate(tape: Tape, input: PassInput, x: Activation, heads: number): void {
    const { cos, sin } = this.#rope;
    const dim = this.config.headDim;
    this.device.run("rope", x.buffer, cos, sin, input.positions, x.rows, heads, dim, 0);
    tape.after(x, () => this.device.run("rope", x.grad!, cos, sin, input.positions, x.rows, heads, dim, 1));
  }

  /** RMSNorm of rows of cols / parts. */
  #norm(tape: Tape, x: Activation, name: string, parts: number): Activation {
    const { device, config } = this;
    const w = this.#parameter(name);
    const n = x.cols / parts;
    const rows = x.rows * parts;
    const y = tape.activation(x.rows, x.cols, "normed");
    const rstd = device.alloc(rows, "rstd");
    const invN = Math.fround(1 / n);
    device.run("rmsnorm_fwd", y.buffer, rstd, x.buffer, w.value, rows, n, config.rmsNormEps, invN);
    tape.record([y], [rstd], () => {
      if (w.grad) device.run("rmsnorm_dw", w.grad, y.grad!, x.buffer, rstd, rows, n);
      const dx = tape.gradOf(x);
      device.run("rmsnorm_bwd", dx.buffer, y.grad!, x.buffer, w.value, rstd, rows, n, dx.accumulate, invN);
    });
    return y;
  }

  /** y = x Wᵀ (+ bias) (+ adapter); with `residual`, y = residual + …, summed into the residual's own accumulator. */
  #linear(tape: Tape, x: Activation, names: Linear, residual?: Activation): Activation {
    const { device } = this;
    const { module } = names;
    const w = this.#parameter(names.weight);
    const bias = this.parameters.get(names.bias);
    const [out, into] = w.shape;
    const adapter = this.lora?.enabled ? this.lora.pairs.get(module) : undefined;
    let y: Activation;
    if (residual) {
      if (tape.recording) {
        y = tape.activation(x.rows, out, module);
        device.run("copy", y.buffer, residual.buffer, x.rows * out);
      } else {
        y = residual;
      }
    } else {
      y = tape.activation(x.rows, out, module);
    }
    if (residual && bias) {
      const term = device.alloc(x.rows * out, `${module} with bias`);
      this.#product(term, x.buffer, w.value, x.rows, out, into, 2, bias.value);
      device.run("add", y.buffer, term, x.rows * out);
      device.free(term);
    } else {
      this.#product(y.buffer, x.buffer, w.value, x.rows, out, into, residual ? 1 : bias ? 2 : 0, bias?.value);
    }
    const inner = adapter ? this.#adapt(y, x, adapter, out, into) : null;
    tape.record([y], inner ? [inner] : [], () => {
      const dy = y.grad!;
      if (bias?.grad) device.run("bias_bwd", bias.grad, dy, x.rows, out);
      // dW[out, in] += dyᵀ x, tokens ascending.
      if (w.grad) {
        device.run(
          "matmul",
          w.grad,
          dy,
          x.buffer,
          this.#nothing,
          out,
          into,
          x.rows,
          1,
          out,
          into,
          1,
          into,
          1,
          this.precision,
        );
      }
      const dx = tape.gradOf(x);
      device.run(
        "matmul",
        dx.buffer,
        dy,
        w.value,
        this.#nothing,
        x.rows,
        into,
        out,
        out,
        1,
        into,
        1,
        into,
        dx.accumulate,
        this.precision,
      );
      if (adapter && inner) this.#adaptBackward(dx.buffer, dy, x, inner, adapter, out, into);
      if (residual) tape.passGrad(y, residual);
    });
    return y;
  }

  /** y += (s · x Aᵀ) Bᵀ; returns s · x Aᵀ. */
  #adapt(y: Activation, x: Activation, { a, b, rank, scale }: LoraPair, out: number, into: number): DeviceBuffer {
    const t = this.device.alloc(x.rows * rank, "adapter");
    this.#product(t, x.buffer, a.value, x.rows, rank, into, 0);
    this.device.run("scale", t, x.rows * rank, scale);
    this.#product(y.buffer, t, b.value, x.rows, out, rank, 1);
    return t;
  }

  #adaptBackward(
    dx: DeviceBuffer,
    dy: DeviceBuffer,
    x: Activation,
    t: DeviceBuffer,
    { a, b, rank, scale }: LoraPair,
    out: number,
    into: number,
  ): void {
    const { device, precision } = this;
    const none = this.#nothing;
    const dt = device.alloc(x.rows * rank, "adapter gradient");
    device.run("matmul", dt, dy, b.value, none, x.rows, rank, out, out, 1, rank, 1, rank, 0, precision);
    device.run("scale", dt, x.rows * rank, scale);
    if (b.grad) device.run("matmul", b.grad, dy, t, none, out, rank, x.rows, 1, out, rank, 1, rank, 1, precision);
    if (a.grad)
      device.run("matmul", a.grad, dt, x.buffer, none, rank, into, x.rows, 1, rank, into, 1, into, 1, precision);
    device.run("matmul", dx, dt, a.value, none, x.rows, into, rank, rank, 1, into, 1, into, 1, precision);
    device.free(dt);
  }

  #swiglu(tape: Tape, gate: Activation, up: Activation): Activation {
    const { device } = this;
    const n = gate.rows * gate.cols;
    const out = tape.activation(gate.rows, gate.cols, "swiglu");
    device.run("swiglu_fwd", out.buffer, gate.buffer, up.buffer, n);
    tape.record([out], [], () => {
      const [dgate, dup] = [gate, up].map((a) => tape.gradOf(a).buffer);
      device.run("swiglu_bwd", dgate, dup, out.grad!, gate.buffer, up.buffer, n);
    });
    return out;
  }

  /** c[rows, n] = a[rows, k] · b[n, k]ᵀ */
  #product(
    c: DeviceBuffer,
    a: DeviceBuffer,
    b: DeviceBuffer,
    rows: number,
    n: number,
    k: number,
    mode: 0 | 1 | 2,
    bias = this.#nothing,
  ): void {
    this.device.run("matmul", c, a, b, bias, rows, n, k, k, 1, 1, k, n, mode, this.precision);
  }

  // ── the vocabulary ────────────────────────────────────────────────────────────────────────────────────────────────

  get #logitStride(): number {
    return Math.ceil(this.config.vocabSize / 4) * 4;
  }

  get #head(): Parameter {
    return this.#parameter(this.config.tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  }

  #logits(z: DeviceBuffer, hidden: DeviceBuffer, rows: number): void {
    const { vocabSize: V, hiddenSize: C } = this.config;
    this.device.run(
      "matmul",
      z,
      hidden,
      this.#head.value,
      this.#nothing,
      rows,
      V,
      C,
      C,
      1,
      1,
      C,
      this.#logitStride,
      0,
      this.precision,
    );
  }

  /** [rows, V] of z [rows, stride], over the temperature, on the host. */
  async #readLogits(z: DeviceBuffer, rows: number, invT: number): Promise<Float32Array> {
    const { vocabSize: V } = this.config;
    const ld = this.#logitStride;
    const padded = await this.device.readF32(z, 0, rows * ld);
    const logits = new Float32Array(rows * V);
    for (let r = 0; r < rows; r++) for (let v = 0; v < V; v++) logits[r * V + v] = padded[r * ld + v] * invT;
    return logits;
  }

  /** Chunk by chunk of positions: logits → scores, and with `backward` dlogits → gradients of head and hidden. */
  async #vocabulary(
    hidden: Activation,
    packed: Packed,
    temperature: number,
    given: {
      backward?: {
        dlogp: Float32Array;
        dentropy: Float32Array | null;
        dlogits: SeeLogits<ArrayLike<number>> | null;
      };
      see?: SeeLogits | null;
    },
  ): Promise<{ logp: DeviceBuffer; entropy: DeviceBuffer }> {
    const { backward } = given;
    const { device, config, precision } = this;
    const { vocabSize: V, hiddenSize: C } = config;
    const S = packed.rows.length;
    const ld = this.#logitStride;
    const chunk = Math.min(Math.max(1, S), Math.max(16, Math.floor(LOGIT_WORDS / ld)));
    const invT = Math.fround(1 / temperature);
    const result = { logp: device.alloc(Math.max(1, S), "logp"), entropy: device.alloc(Math.max(1, S), "entropy") };
    const own: DeviceBuffer[] = [];
    const keep = (buffer: DeviceBuffer) => {
      own.push(buffer);
      return buffer;
    };
    const stats = keep(device.alloc(4 * Math.max(1, S), "vocabulary statistics"));
    const index = keep(this.#words(packed.rows, "scored rows"));
    const targets = keep(this.#words(packed.targets, "targets"));
    const picked = keep(device.alloc(chunk * C, "hidden of a chunk"));
    const z = keep(device.alloc(chunk * ld, "logits of a chunk"));
    let gradient: { dlogp: DeviceBuffer; dentropy: DeviceBuffer; dpicked: DeviceBuffer } | null = null;
    if (backward) {
      gradient = {
        dlogp: keep(this.#floats(backward.dlogp, "dlogp")),
        dentropy: keep(this.#floats(backward.dentropy ?? new Float32Array(S), "dentropy")),
        dpicked: keep(device.alloc(chunk * C, "gradient of a chunk")),
      };
      hidden.grad = device.alloc(hidden.rows * C, "activation gradient");
      device.run("fill", hidden.grad, hidden.rows * C, 0);
    }
    for (let at = 0; at < S; at += chunk) {
      const rows = Math.min(chunk, S - at);
      device.run("gather_rows", picked, hidden.buffer, index, rows, C, at);
      this.#logits(z, picked, rows);
      const readHidden = () => device.readF32(picked, 0, rows * C);
      if (given.see) await given.see(at, rows, await this.#readLogits(z, rows, invT), readHidden);
      const dlogits = await backward?.dlogits?.(at, rows, await this.#readLogits(z, rows, invT), readHidden);
      device.run("logprob_fwd", result.logp, result.entropy, stats, z, targets, rows, V, ld, at, invT);
      if (!gradient) continue;
      device.run("logprob_bwd", z, stats, targets, gradient.dlogp, gradient.dentropy, rows, V, ld, at, invT);
      if (dlogits) {
        const part = await device.readF32(z, 0, rows * ld);
        for (let r = 0; r < rows; r++) for (let v = 0; v < V; v++) part[r * ld + v] += dlogits[r * V + v] * invT;
        device.write(z, part);
      }
      const head = this.#head;
      if (head.grad) {
        device.run("matmul", head.grad, z, picked, this.#nothing, V, C, rows, 1, ld, C, 1, C, 1, precision);
      }
      device.run("matmul", gradient.dpicked, z, head.value, this.#nothing, rows, C, V, ld, 1, C, 1, C, 0, precision);
      // A shared prompt's last row predicts the first token of each of its sequences.
      if (packed.whole)
        this.#addRows(hidden.grad!, gradient.dpicked, placesByValue(packed.rows.subarray(at, at + rows)), C);
      else device.run("scatter_rows", hidden.grad!, gradient.dpicked, index, rows, C, at);
    }
    for (const buffer of own) device.free(buffer);
    return result;
  }

  async #collect(scored: { logp: DeviceBuffer; entropy: DeviceBuffer }, n: number): Promise<Scores> {
    const [logp, entropy] = await Promise.all([
      this.device.readF32(scored.logp, 0, n),
      this.device.readF32(scored.entropy, 0, n),
    ]);
    this.device.free(scored.logp);
    this.device.free(scored.entropy);
    return { logp, entropy };
  }

  // ── small things ──────────────────────────────────────────────────────────────────────────────────────────────────

  #parameter(name: string): Parameter {
    const parameter = this.parameters.get(name);
    if (!parameter) throw new CohortError("bad-model", `the model has no ${name}`, "load it from a complete folder");
    return parameter;
  }

  #upload(packed: Packed): PassInput {
    const { whole } = packed;
    return {
      tokens: this.#words(packed.tokens, "tokens"),
      positions: this.#words(packed.positions, "positions"),
      table: this.#words(packed.table, "sequence table"),
      rows: packed.tokens.length,
      entries: packed.entries,
      maxKeys: packed.maxKeys,
      ...(whole && {
        whole: {
          rows: this.#words(whole.rows, "rows of whole sequences"),
          first: this.#words(whole.first, "first copies"),
          table: this.#words(whole.table, "whole sequences"),
          of: whole,
        },
      }),
    };
  }

  #release(input: PassInput): void {
    for (const buffer of [input.tokens, input.positions, input.table]) this.device.free(buffer);
    const { whole } = input;
    if (whole) for (const buffer of [whole.rows, whole.first, whole.table]) this.device.free(buffer);
    if (input.cache) this.device.free(input.cache.index);
  }

  #words(data: Uint32Array, label: string): DeviceBuffer {
    const buffer = this.device.alloc(Math.max(1, data.length), label);
    this.device.write(buffer, data);
    return buffer;
  }

  #floats(data: Float32Array, label: string): DeviceBuffer {
    const buffer = this.device.alloc(Math.max(1, data.length), label);
    this.device.write(buffer, data);
    return buffer;
  }
}
