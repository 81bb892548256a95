/** @file Weights that follow the policy: the reference and what a recipe keeps beside it, moved on the device after steps. */
import type { Device, DeviceBuffer } from "../device.ts";
import { CohortError } from "../errors.ts";
import type { Storage } from "../host.ts";
import type { Parameters } from "../model/parameters.ts";
import { loadTensor, openSafetensors, writeSafetensors } from "../model/safetensors.ts";
import type { WeightMoves } from "../recipe.ts";

type Buffers = ReadonlyMap<string, DeviceBuffer>;

const buffersOf = (parameters: Parameters): Buffers => new Map([...parameters].map(([name, p]) => [name, p.value]));

export class MovingWeights {
  readonly #device: Device;
  readonly #shapes: Parameters;
  readonly #sets: Map<string, Buffers>;
  readonly #kept: readonly string[];

  /** @param keeps names of further weights; they start as the reference is */
  constructor(device: Device, policy: Parameters, reference: Parameters, keeps: readonly string[]) {
    this.#device = device;
    this.#shapes = reference;
    this.#kept = keeps;
    this.#sets = new Map([
      ["policy", buffersOf(policy)],
      ["reference", buffersOf(reference)],
    ]);
    for (const name of keeps) this.#sets.set(name, this.#copies(name));
  }

  #copies(label: string): Buffers {
    const copies = new Map<string, DeviceBuffer>();
    for (const p of this.#shapes.values()) {
      const copy = this.#device.alloc(p.size, `${label} of ${p.name}`);
      this.#device.run("copy", copy, p.value, p.size);
      copies.set(p.name, copy);
    }
    return copies;
  }

  /** Each named set becomes its sum, term by term in the order given; nothing is read back. */
  move(moves: WeightMoves): void {
    const device = this.#device;
    for (const [name, sum] of moves) {
      const target = this.#set(name);
      for (const p of this.#shapes.values()) {
        const total = device.alloc(p.size, "moved weights");
        const term = device.alloc(p.size, "term of moved weights");
        device.run("fill", total, p.size, 0);
        for (const [of, share] of Object.entries(sum)) {
          device.run("copy", term, this.#set(of).get(p.name)!, p.size);
          device.run("scale", term, p.size, Math.fround(share));
          device.run("add", total, term, p.size);
        }
        device.run("copy", target.get(p.name)!, total, p.size);
        device.free(total);
        device.free(term);
      }
    }
  }

  #set(name: string): Buffers {
    const found = this.#sets.get(name);
    if (found) return found;
    const known = [...this.#sets.keys()].join(", ");
    throw new CohortError(
      "bad-config",
      `a recipe moves '${name}', which nobody keeps`,
      `name it in keeps, beside ${known}`,
    );
  }

  /** What is kept, as one file; nothing where nothing is. */
  async save(storage: Storage, path: string): Promise<void> {
    if (this.#kept.length === 0) return;
    const tensors = this.#kept.flatMap((name) =>
      [...this.#shapes.values()].map((p) => ({
        name: `${name}.${p.name}`,
        shape: p.shape,
        dtype: "F32" as const,
        data: () => this.#device.readF32(this.#set(name).get(p.name)!),
      })),
    );
    await writeSafetensors(storage, path, tensors);
  }

  async load(storage: Storage, path: string): Promise<void> {
    if (this.#kept.length === 0) return;
    const { tensors } = await openSafetensors(storage, path);
    for (const name of this.#kept) {
      for (const p of this.#shapes.values()) {
        const entry = tensors.get(`${name}.${p.name}`);
        if (!entry)
          throw new CohortError("bad-model", `${path}: no ${name}.${p.name}`, "continue from another checkpoint");
        this.#device.write(this.#set(name).get(p.name)!, await loadTensor(storage, entry));
      }
    }
  }

  close(): void {
    for (const name of this.#kept) for (const buffer of this.#set(name).values()) this.#device.free(buffer);
  }
}
