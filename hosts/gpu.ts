/**
 * @file The WebGPU backend: a Device over any GPUDevice that is handed in (an app may share its own).
 *
 * Thin: memory, pipelines, command batches. What a kernel is bound to comes from core/kernels.ts, how it is laid out from
 * core/plan.ts, its text from shaders/; there is no arithmetic here. Commands are recorded and submitted together, in the
 * order of the calls; `write` goes ahead of recorded commands only where none of them uses the buffer.
 */
import {
  checkArguments,
  checkBounds,
  checkBuffer,
  checkLength,
  type Device,
  type DeviceBuffer,
  wordType,
} from "../core/device.ts";
import { CohortError } from "../core/errors.ts";
import { type KernelName, kernels } from "../core/kernels.ts";
import { type Plan, planOf } from "../core/plan.ts";
import { type Fast, shaderModule } from "../core/shader.ts";
import { type Window, type WindowedCall, windowsOf } from "../core/windows.ts";
import { hasSoftwareLayout } from "./quirks.ts";

/** Commands of one submission: few enough that no driver thinks the device hangs. */
const BATCH = 128;
/** Idle memory beyond what is in use that is kept for the next buffer. */
const IDLE_BYTES = 128 * 2 ** 20;

/** Words of zeros before the arguments (shaders/simd.wgsl). */
const ZERO_WORDS = 16;

/** Memory on the device; many logical buffers use one in turn. */
interface Block {
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  /** Last batch that uses it. */
  batch: number;
}

interface GpuBuffer extends DeviceBuffer {
  block: Block | null;
}

/** What an entry point's binding gets of a block. */
interface Bound extends Window {
  block: Block;
}

interface Compiled {
  readonly passes: Map<string, { pipeline: GPUComputePipeline; layout: GPUBindGroupLayout; bindings: number[] }>;
}

export interface GpuOptions {
  /** For people; default: what the adapter says. */
  name?: string;
  /** Kernels with tolerances in place of bits (shaders/fast); what the device's features allow of them. */
  fast?: boolean;
  /** The layouts of shaders/software (bits are the same); default: where hosts/quirks.ts knows them to be faster. */
  software?: boolean;
  /** Bytes that are bound at once, if fewer than the device allows: larger buffers are worked on in windows of it. */
  maxBinding?: number;
  /** Changes a kernel's WGSL before it is compiled: tests break shaders with it. */
  edit?(kernel: KernelName, wgsl: string): string;
}

const fastFeatures: readonly GPUFeatureName[] = ["subgroups", "shader-f16"];

/** Limits to ask an adapter for: as much memory as it has, the rest as WebGPU guarantees. */
export function deviceDescriptor(adapter: GPUAdapter, fast = false): GPUDeviceDescriptor {
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits;
  const wanted = fast ? fastFeatures : [];
  return {
    requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
  };
}

/** What an adapter is called: "SwiftShader Device (Subzero), google". */
export function adapterName({ info }: Pick<GPUAdapter, "info">): string {
  const { device, description, vendor, architecture } = info;
  const parts = [description || device, vendor, architecture].filter((part) => part);
  return parts.length > 0 ? [...new Set(parts)].join(", ") : "an unnamed adapter";
}

/** Sizes in four steps an octave, so that blocks fit again. */
function sizeClass(bytes: number): number {
  let step = 64;
  while (step * 8 < bytes) step *= 2;
  return Math.ceil(Math.max(bytes, 16) / step) * step;
}

export class GpuDevice implements Device {
  readonly kind = "webgpu";
  readonly name: string;
  readonly gpu: GPUDevice;
  readonly #edit: GpuOptions["edit"];
  readonly #fast: Fast | null;
  readonly #software: boolean;
  readonly #kernels = new Map<string, Compiled>();
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #idle = new Map<number, Block[]>();
  readonly #staging = new Map<number, GPUBuffer[]>();
  readonly #uniforms: GPUBuffer;
  readonly #uniformWords: Uint32Array<ArrayBuffer>;
  readonly #uniformFloats: Float32Array;
  /** Words of a binding at most, and what its place in a buffer is a multiple of. */
  readonly #binding: { limit: number; align: number };
  /** Words from one command's parameters to the next one's. */
  readonly #slot: number;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #commands = 0;
  #batch = 0;
  #blocks = 0;
  #idleBytes = 0;
  #used = 0;
  #peak = 0;
  #fault: string | null = null;
  #closed = false;
  #owned = false;

  /** @param gpu the app's own device; `close` leaves it and what others made on it alone */
  constructor(gpu: GPUDevice, options: GpuOptions = {}) {
    this.gpu = gpu;
    this.name = options.name ?? "WebGPU";
    this.#edit = options.edit;
    this.#fast = options.fast
      ? { subgroups: gpu.features.has("subgroups"), half: gpu.features.has("shader-f16") }
      : null;
    const info = gpu.adapterInfo as GPUAdapterInfo | undefined;
    this.#software = options.software ?? (info !== undefined && hasSoftwareLayout(adapterName({ info })));
    this.#slot = Math.max(256, gpu.limits.minUniformBufferOffsetAlignment) / 4;
    const { maxStorageBufferBindingSize, minStorageBufferOffsetAlignment } = gpu.limits;
    this.#binding = {
      limit: Math.floor(Math.min(maxStorageBufferBindingSize, options.maxBinding ?? Infinity) / 4),
      align: minStorageBufferOffsetAlignment / 4,
    };
    this.#uniformWords = new Uint32Array(this.#slot * BATCH);
    this.#uniformFloats = new Float32Array(this.#uniformWords.buffer);
    this.#uniforms = gpu.createBuffer({
      label: "params",
      size: this.#uniformWords.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    gpu.lost.then(({ reason, message }) => {
      this.#fault ??= `the GPU device was lost (${reason || "unknown"}${message ? `: ${message}` : ""})`;
    });
    gpu.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      this.#fault ??= `the GPU reported: ${error.message.split("\n")[0]}`;
    });
  }

  /** A device of an adapter, with all the memory it offers; `close` destroys it. */
  static async create(adapter: GPUAdapter, options: GpuOptions = {}): Promise<GpuDevice> {
    const gpu = await adapter.requestDevice(deviceDescriptor(adapter, options.fast)).catch((cause: Error) => {
      const reason = cause.message.split("\n")[0];
      throw new CohortError(
        "device",
        `webgpu: ${adapterName(adapter)} refuses a device: ${reason}`,
        "use backend wasm, or another adapter",
        { cause },
      );
    });
    const device = new GpuDevice(gpu, {
      name: `WebGPU${options.fast ? " (fast)" : ""}, ${adapterName(adapter)}`,
      ...options,
    });
    device.#owned = true;
    return device;
  }

  /** Features that fast kernels would use and the device does not have. */
  get missing(): string[] {
    return this.#fast ? fastFeatures.filter((feature) => !this.gpu.features.has(feature)) : [];
  }

  /** What is wrong with the device, or null: a lost device stays lost, its buffers are gone. */
  get fault(): string | null {
    return this.#fault;
  }

  get memory(): { used: number; peak: number } {
    return { used: this.#used, peak: this.#peak };
  }

  alloc(words: number, label: string): DeviceBuffer {
    this.#check("alloc");
    checkLength(words, label);
    const most = this.gpu.limits.maxBufferSize;
    if (words * 4 > most) {
      throw new CohortError(
        "out-of-memory",
        `alloc: ${label} takes ${words * 4} bytes, this adapter's buffers hold ${most}`,
        "use a smaller model or shorter batches, or --backend wasm",
      );
    }
    const block = this.#take(Math.min(most - (most % 4), sizeClass(words * 4)));
    this.#used += block.bytes;
    this.#peak = Math.max(this.#peak, this.#used);
    return { length: words, label, owner: this, block } as GpuBuffer;
  }

  free(buffer: DeviceBuffer): void {
    checkBuffer("free", buffer, this);
    const b = buffer as GpuBuffer;
    if (!b.block) throw new CohortError("bad-input", `free: ${b.label} was freed before`, "free a buffer once");
    this.#used -= b.block.bytes;
    this.#give(b.block);
    b.block = null;
  }

  write(buffer: DeviceBuffer, data: Float32Array | Uint32Array | Int32Array, offset = 0): void {
    this.#check("write");
    wordType(data);
    const block = this.#bounds("write", buffer, offset, data.length);
    if (data.length === 0) return;
    if (block.batch === this.#batch && this.#encoder) this.#flush();
    this.gpu.queue.writeBuffer(block.buffer, offset * 4, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }

  async readF32(buffer: DeviceBuffer, offset = 0, length = (buffer?.length ?? 0) - offset): Promise<Float32Array> {
    return new Float32Array(await this.#read(buffer, offset, length));
  }

  async readU32(buffer: DeviceBuffer, offset = 0, length = (buffer?.length ?? 0) - offset): Promise<Uint32Array> {
    return new Uint32Array(await this.#read(buffer, offset, length));
  }

  run(name: KernelName, ...args: (DeviceBuffer | number)[]): void {
    this.#check("run");
    checkArguments(name, args, this);
    const row = kernels[name];
    const labels = Object.keys(row.buffers);
    const blocks: Record<string, Block> = {};
    const windows: Record<string, Window> = {};
    let large = false;
    labels.forEach((label, i) => {
      const b = args[i] as GpuBuffer;
      if (!b.block) {
        throw new CohortError("bad-input", `kernel ${name}: buffer ${b.label} was freed`, "keep it until it is used");
      }
      blocks[label] = b.block;
      windows[label] = { offset: 0, words: b.length };
      large ||= b.length > this.#binding.limit;
    });
    const dims: Record<string, number> = {};
    row.dims.forEach((label, i) => {
      dims[label] = args[labels.length + i] as number;
    });
    const scalars = args.slice(labels.length + row.dims.length) as number[];
    const whole: WindowedCall = { dims, windows, first: 0 };
    const calls = large ? windowsOf(name, whole, this.#binding.limit, this.#binding.align) : [whole];
    if (typeof calls === "string") {
      throw new CohortError(
        "out-of-memory",
        `kernel ${name}: ${calls} takes ${windows[calls].words * 4} bytes, this adapter binds ${this.#binding.limit * 4} at once`,
        "use more microBatches or shorter completions, or --backend wasm",
      );
    }
    for (const call of calls) this.#dispatch(name, labels, blocks, call, scalars);
  }

  /** Records one call, whose bindings all fit. */
  #dispatch(
    name: KernelName,
    labels: readonly string[],
    blocks: Readonly<Record<string, Block>>,
    { dims, windows, first }: WindowedCall,
    scalars: readonly number[],
  ): void {
    const bound: Record<string, Bound> = {};
    const words: Record<string, number> = {};
    for (const label of labels) {
      bound[label] = { block: blocks[label], ...windows[label] };
      words[label] = windows[label].words;
    }
    const plan = planOf(name, labels, { words, dims }, this.#software);
    if (plan.passes.length === 0) return;
    // Only forward products have both operands contiguous along k; f16 would lose gradients.
    const forward = dims.aK === 1 && dims.bK === 1;
    const fast = this.#fast && { ...this.#fast, half: this.#fast.half && forward };
    const compiled = this.#compile(name, labels, plan, fast);
    const scratch = Object.entries(plan.scratch).map(([label, size]) => {
      const block = this.#take(sizeClass(size * 4));
      bound[label] = { block, offset: 0, words: size };
      return block;
    });
    if (this.#commands === BATCH) this.#flush();
    const at = this.#commands++ * this.#slot;
    let to = at + ZERO_WORDS;
    for (const label of kernels[name].dims) this.#uniformWords[to++] = dims[label];
    for (const scalar of scalars) this.#uniformFloats[to++] = scalar;
    this.#uniformWords[to] = first;
    this.#encoder ??= this.gpu.createCommandEncoder();
    this.#pass ??= this.#encoder.beginComputePass();
    const { maxComputeWorkgroupsPerDimension: widest } = this.gpu.limits;
    for (const { entry, buffers, workgroups } of plan.passes) {
      const { pipeline, layout, bindings } = compiled.passes.get(entry)!;
      const group = this.#group(
        `${name}.${entry}`,
        layout,
        bindings,
        buffers.map((label) => bound[label]),
      );
      this.#pass.setPipeline(pipeline);
      this.#pass.setBindGroup(0, group, [at * 4]);
      const x = Math.min(workgroups, widest);
      this.#pass.dispatchWorkgroups(x, Math.ceil(workgroups / x));
    }
    for (const { block } of Object.values(bound)) block.batch = this.#batch;
    for (const block of scratch) this.#give(block);
  }

  /** Submits what is recorded; resolves when it is done. */
  async finish(): Promise<void> {
    this.#flush();
    await this.gpu.queue.onSubmittedWorkDone();
    this.#check("finish");
  }

  /** Frees this object's memory; a GPUDevice that was handed in stays its owner's. */
  close(): void {
    if (this.#closed) return;
    if (!this.#fault) this.#flush();
    this.#closed = true;
    for (const block of [...this.#idle.values()].flat()) block.buffer.destroy();
    for (const buffer of [...this.#staging.values()].flat()) buffer.destroy();
    this.#uniforms.destroy();
    this.#idle.clear();
    this.#staging.clear();
    this.#groups.clear();
    if (this.#owned) this.gpu.destroy();
  }

  #check(verb: string): void {
    if (this.#closed) throw new CohortError("device", `${verb}: the device is closed`, "open it again");
    if (this.#fault) {
      throw new CohortError("device", `${verb}: ${this.#fault}`, "resume from the last step, or use --backend wasm");
    }
  }

  #bounds(verb: string, buffer: DeviceBuffer, offset: number, length: number): Block {
    checkBuffer(verb, buffer, this);
    const { block } = buffer as GpuBuffer;
    if (!block) {
      throw new CohortError("bad-input", `${verb}: buffer ${buffer.label} was freed`, "keep it until it is used");
    }
    checkBounds(verb, buffer, offset, length);
    return block;
  }

  async #read(buffer: DeviceBuffer, offset: number, length: number): Promise<ArrayBuffer> {
    this.#check("read");
    const block = this.#bounds("read", buffer, offset, length);
    if (length === 0) return new ArrayBuffer(0);
    const size = sizeClass(length * 4);
    const staging =
      this.#staging.get(size)?.pop() ??
      this.gpu.createBuffer({ label: "staging", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    this.#pass?.end();
    this.#pass = null;
    this.#encoder ??= this.gpu.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(block.buffer, offset * 4, staging, 0, length * 4);
    block.batch = this.#batch;
    // Reads that are asked for together share a submit.
    const batch = this.#batch;
    await null;
    if (batch === this.#batch) this.#flush();
    try {
      await staging.mapAsync(GPUMapMode.READ, 0, length * 4);
    } catch (cause) {
      // The reason arrives by another event than the refusal.
      await Promise.race([this.gpu.lost, new Promise((done) => setTimeout(done, 50))]);
      this.#check("read");
      throw new CohortError("device", `read of ${buffer.label} failed`, "resume from the last step", { cause });
    }
    this.#check("read");
    const copy = staging.getMappedRange(0, length * 4).slice(0);
    staging.unmap();
    const waiting = this.#staging.get(size);
    if (this.#closed) staging.destroy();
    else if (waiting) waiting.push(staging);
    else this.#staging.set(size, [staging]);
    return copy;
  }

  #flush(): void {
    if (!this.#encoder) return;
    this.#pass?.end();
    this.#pass = null;
    if (this.#commands > 0) {
      this.gpu.queue.writeBuffer(this.#uniforms, 0, this.#uniformWords, 0, this.#commands * this.#slot);
    }
    this.gpu.queue.submit([this.#encoder.finish()]);
    this.#encoder = null;
    this.#commands = 0;
    this.#batch++;
    if (this.#idleBytes > Math.max(IDLE_BYTES, this.#used)) this.#trim();
  }

  #take(bytes: number): Block {
    const idle = this.#idle.get(bytes)?.pop();
    if (idle) {
      this.#idleBytes -= bytes;
      return idle;
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    return { id: this.#blocks++, buffer: this.gpu.createBuffer({ size: bytes, usage }), bytes, batch: -1 };
  }

  #give(block: Block): void {
    if (this.#closed) {
      block.buffer.destroy();
      return;
    }
    const idle = this.#idle.get(block.bytes);
    if (idle) idle.push(block);
    else this.#idle.set(block.bytes, [block]);
    this.#idleBytes += block.bytes;
  }

  /** Gives idle memory back, the largest first. Runs between batches, when nothing recorded refers to it. */
  #trim(): void {
    for (const bytes of [...this.#idle.keys()].sort((a, b) => b - a)) {
      for (const block of this.#idle.get(bytes)!) {
        block.buffer.destroy();
        this.#idleBytes -= bytes;
      }
      this.#idle.delete(bytes);
      if (this.#idleBytes <= IDLE_BYTES / 2) break;
    }
    this.#groups.clear();
  }

  #compile(name: KernelName, labels: readonly string[], plan: Plan, fast: Fast | null): Compiled {
    const key = `${name} ${JSON.stringify(plan.constants)} ${plan.software} ${fast?.half}`;
    const found = this.#kernels.get(key);
    if (found) return found;
    const { gpu } = this;
    const row = kernels[name];
    const text = shaderModule(name, plan, fast);
    const module = gpu.createShaderModule({ label: name, code: this.#edit?.(name, text) ?? text });
    const all = [...labels, ...Object.keys(plan.scratch)];
    const passes: Compiled["passes"] = new Map();
    for (const { entry, buffers } of plan.passes) {
      const bindings = buffers.map((label) => all.indexOf(label) + 1);
      const layout = gpu.createBindGroupLayout({
        label: entry,
        entries: [
          { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } },
          ...buffers.map((label, i) => ({
            binding: bindings[i],
            visibility: GPUShaderStage.COMPUTE,
            buffer: { type: row.buffers[label] === "r" ? ("read-only-storage" as const) : ("storage" as const) },
          })),
        ],
      });
      const pipeline = gpu.createComputePipeline({
        label: entry,
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: entry },
      });
      passes.set(entry, { pipeline, layout, bindings });
    }
    const compiled = { passes };
    this.#kernels.set(key, compiled);
    return compiled;
  }

  #group(key: string, layout: GPUBindGroupLayout, bindings: number[], bound: readonly Bound[]) {
    const full = `${key} ${bound.map(({ block, offset, words }) => `${block.id}:${offset}:${words}`).join(" ")}`;
    let group = this.#groups.get(full);
    if (!group) {
      if (this.#groups.size >= 4096) this.#groups.clear();
      group = this.gpu.createBindGroup({
        label: key,
        layout,
        entries: [
          { binding: 0, resource: { buffer: this.#uniforms, size: this.#slot * 4 } },
          ...bound.map(({ block, offset, words }, i) => ({
            binding: bindings[i],
            resource: { buffer: block.buffer, offset: offset * 4, size: Math.max(4, words * 4) },
          })),
        ],
      });
      this.#groups.set(full, group);
    }
    return group;
  }
}
