/**
 * @file TensorBoard's event files: a TFRecord for each line, holding one Event message of protocol buffers with scalar
 * summaries. Formats: tensorflow/core/lib/io/record_writer.h (lengths and masked CRC-32C, little endian), event.proto,
 * summary.proto.
 */
import type { RunInfo } from "../../core/api.ts";
import { CohortError } from "../../core/errors.ts";
import type { EvalResult } from "../../core/evaluate.ts";
import type { Storage } from "../../core/host.ts";
import type { StepMetrics } from "../../core/log.ts";
import { readLines } from "../../core/run.ts";
import { evaluationNumbers, type Logger, type MetricRecord, numbersOf } from "./logger.ts";

/** CRC-32C (Castagnoli), reflected polynomial 0x82F63B78, a byte at a time. */
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});

/** @returns the checksum as TFRecords carry it: rotated by 15 bits and shifted, so that checksums of checksums differ */
export function maskedCrc32c(data: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of data) c = TABLE[(c ^ byte) & 0xff] ^ (c >>> 8);
  c = ~c >>> 0;
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0;
}

/** Protocol buffers, as far as events need them. */
class Message {
  #bytes: number[] = [];

  #varint(value: number): void {
    while (value >= 128) {
      this.#bytes.push((value % 128) | 128);
      value = Math.floor(value / 128);
    }
    this.#bytes.push(value);
  }

  #fixed(field: number, wire: number, size: number, set: (view: DataView) => void): this {
    this.#varint(field * 8 + wire);
    const view = new DataView(new ArrayBuffer(size));
    set(view);
    this.#bytes.push(...new Uint8Array(view.buffer));
    return this;
  }

  whole(field: number, value: number): this {
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  double(field: number, value: number): this {
    return this.#fixed(field, 1, 8, (view) => view.setFloat64(0, value, true));
  }

  float(field: number, value: number): this {
    return this.#fixed(field, 5, 4, (view) => view.setFloat32(0, value, true));
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** One TFRecord: length, its checksum, data, their checksum. */
function recordOf(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

/** Event 1: wall_time (seconds), 2: step, 3: file_version, 5: summary; Summary 1: value {1: tag, 2: simple_value}. */
function eventOf(wallTime: number, step: number, content: { version: string } | { record: MetricRecord }): Uint8Array {
  const event = new Message().double(1, wallTime).whole(2, step);
  if ("version" in content) return recordOf(event.text(3, content.version).done());
  const summary = new Message();
  for (const [tag, value] of Object.entries(content.record)) {
    summary.bytes(1, new Message().text(1, tag).float(2, value).done());
  }
  return recordOf(event.bytes(5, summary.done()).done());
}

/** Whole records of a file with the step of each; one that a crash cut is left out. */
function* recordsIn(file: Uint8Array): Generator<{ step: number; record: Uint8Array }> {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  for (let at = 0; at + 16 <= file.length; ) {
    const end = at + 16 + view.getUint32(at, true);
    if (end > file.length) return;
    const data = file.subarray(at + 12, end - 4);
    if (view.getUint32(end - 4, true) !== maskedCrc32c(data)) return;
    yield { step: stepOf(data), record: file.subarray(at, end) };
    at = end;
  }
}

/** This writer's events begin with wall_time (nine bytes) and step. */
function stepOf(data: Uint8Array): number {
  let step = 0;
  for (let at = 10, scale = 1; at < data.length; at++, scale *= 128) {
    step += (data[at] & 127) * scale;
    if (data[at] < 128) break;
  }
  return step;
}

export interface TensorBoardOptions {
  /** the run's files: engine.storage, or nodeStorage() */
  storage: Storage;
  /** folder of the event file; default: the run folder */
  dir?: string;
  /** milliseconds since 1970; default Date.now */
  now?(): number;
}

const FILE = /^events\.out\.tfevents\./;

/** What the run folder holds of steps up to `last`, in order: a step's metrics, then evaluations after it. */
async function recordsUpTo(storage: Storage, run: string, last: number): Promise<Map<number, MetricRecord[]>> {
  const steps = await readLines<StepMetrics>(storage, `${run}/metrics.jsonl`);
  const evaluations = await readLines<EvalResult & { step: number }>(storage, `${run}/evaluations.jsonl`);
  const records = new Map<number, MetricRecord[]>();
  const add = (step: number, record: MetricRecord) => {
    if (step <= last) records.set(step, [...(records.get(step) ?? []), record]);
  };
  for (const line of steps) add(line.step, numbersOf(line));
  for (const { step, ...result } of evaluations) add(step, evaluationNumbers(result));
  return new Map([...records].sort(([a], [b]) => a - b));
}

/**
 * Writes every metric into an event file that `tensorboard --logdir runs` shows. A run that continues goes on in its file:
 * later steps are taken out first, and steps that a crash kept from it are taken from the run folder, so that curves have
 * each step once and no step is missing.
 */
export function tensorBoard({ storage, dir, now = Date.now }: TensorBoardOptions): Logger {
  let path = "";
  return {
    async onStart({ run, resumedAt }: RunInfo) {
      const folder = dir ?? run;
      const names = (await storage.exists(folder)) ? await storage.list(folder) : [];
      const old = names.find((name) => FILE.test(name));
      path = `${folder}/${old ?? `events.out.tfevents.${String(Math.floor(now() / 1000)).padStart(10, "0")}.cohort`}`;
      const [version, ...events] = old ? recordsIn(await storage.read(path)) : [];
      const kept = [version?.record ?? eventOf(now() / 1000, 0, { version: "brain.Event:2" })];
      if (resumedAt !== undefined) {
        const held = new Map<number, Uint8Array[]>();
        for (const { step, record } of events) held.set(step, [...(held.get(step) ?? []), record]);
        for (const [step, records] of await recordsUpTo(storage, run, resumedAt)) {
          const there = held.get(step);
          if (there?.length === records.length) kept.push(...there);
          else kept.push(...records.map((record) => eventOf(now() / 1000, step, { record })));
        }
      }
      await storage.writeStream(path, kept);
    },
    async onMetrics(step, record) {
      if (path === "") throw new CohortError("io", "tensorBoard: metrics before onStart", "call onStart first");
      await storage.append(path, eventOf(now() / 1000, step, { record }));
    },
  };
}
