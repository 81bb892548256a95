/**
 * Event files read back by a parser of its own, from the formats' descriptions; curves of a run that stops and goes on; loggers
 * that fail; trackers of W&B's shape.
 */
import { expect, test } from "vitest";
import type { TrainResult } from "../core/api.ts";
import { parseConfig } from "../core/config.ts";
import type { StepMetrics } from "../core/log.ts";
import { memoryStorage } from "../core/storage.ts";
import { type Logger, tensorBoard, tracker } from "../hosts/log/index.ts";
import { maskedCrc32c } from "../hosts/log/tensorboard.ts";
import { createEngine } from "../hosts/node.ts";

type Field = [field: number, value: number | bigint | Uint8Array];

/** Fields of a message of protocol buffers, by the encoding's specification. */
function fields(data: Uint8Array): Field[] {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const found: Field[] = [];
  while (at < data.length) {
    const key = Number(varint());
    const wire = key & 7;
    if (wire === 0) found.push([key >> 3, varint()]);
    else if (wire === 1) {
      found.push([key >> 3, view.getFloat64(at, true)]);
      at += 8;
    } else if (wire === 5) {
      found.push([key >> 3, view.getFloat32(at, true)]);
      at += 4;
    } else if (wire === 2) {
      const length = Number(varint());
      found.push([key >> 3, data.subarray(at, at + length)]);
      at += length;
    } else throw new Error(`wire type ${wire}`);
  }
  return found;
}

/** CRC-32C bit by bit, as RFC 3720 (B.4) defines it. */
function crc(data: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of data) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? 0x82f63b78 : 0);
  }
  return ~c >>> 0;
}
const mask = (c: number) =>
  Number(((BigInt(c >>> 15) | BigInt.asUintN(32, BigInt(c) << 17n)) + 0xa282ead8n) & 0xffffffffn);
const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);

interface Event {
  wallTime: number;
  step: number;
  version?: string;
  scalars: Record<string, number>;
}

function events(file: Uint8Array): Event[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const list: Event[] = [];
  let at = 0;
  while (at < file.length) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(mask(crc(file.subarray(at, at + 8))));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(mask(crc(data)));
    at += length + 16;
    const own = fields(data);
    const get = (field: number) => own.find(([f]) => f === field)?.[1];
    const values = own.filter(([f]) => f === 5).flatMap(([, summary]) => fields(summary as Uint8Array));
    list.push({
      wallTime: get(1) as number,
      step: Number(get(2) ?? 0n),
      ...(get(3) !== undefined && { version: text(get(3)) }),
      scalars: Object.fromEntries(
        values.map(([, value]) => {
          const parts = fields(value as Uint8Array);
          return [text(parts.find(([f]) => f === 1)![1]), parts.find(([f]) => f === 2)![1] as number];
        }),
      ),
    });
  }
  return list;
}

test("the checksum is that of RFC 3720's examples", () => {
  expect(crc(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  const data = new TextEncoder().encode("123456789");
  expect(crc(data)).toBe(0xe3069283);
  expect(maskedCrc32c(data)).toBe(mask(0xe3069283));
});

const config = (steps: number, more: object = {}) =>
  parseConfig({
    model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 16 }, tokenizer: "byte" },
    promptsPerStep: 2,
    rolloutsPerPrompt: 2,
    maxTokens: 3,
    steps,
    checkpointEvery: 2,
    evalEvery: 2,
    evalPrompts: 2,
    evalSamples: 1,
    out: "run",
    ...more,
  });
const task = {
  prompts: [{ prompt: "a" }, { prompt: "b" }],
  rewards: ({ completionIds }: { completionIds: ArrayLike<number> }) => ((completionIds[0] ?? 0) as number) % 7,
};

test("a run that stops after step 3 and goes on from its checkpoint has each step once, equal to metrics.jsonl", async () => {
  const storage = memoryStorage();
  let now = 1_700_000_000_000;
  const logger = tensorBoard({ storage, now: () => (now += 500) });
  const engine = await createEngine({ threads: 1, storage, logger });
  const stop = new AbortController();
  const onStep = ({ step }: StepMetrics) => {
    if (step === 3) stop.abort();
  };
  await engine.train(config(5), { task, signal: stop.signal, onStep });
  // As after a crash: the checkpoint of the stop is gone, a record is cut.
  await storage.remove("run/checkpoints/step-3");
  const name = (await storage.list("run")).find((file) => file.startsWith("events.out.tfevents."))!;
  expect(events(await storage.read(`run/${name}`)).at(-1)!.step).toBe(3);
  await storage.append(`run/${name}`, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 1, 2));
  const result = await engine.train(config(5, { resume: true }), { task });
  await engine.close();

  const files = (await storage.list("run")).filter((file) => file.startsWith("events."));
  expect(files).toEqual([name]);
  const found = events(await storage.read(`run/${name}`));
  expect(found[0]).toMatchObject({ version: "brain.Event:2", step: 0, scalars: {} });
  const steps = found.filter((e) => "reward" in e.scalars);
  expect(steps.map((e) => e.step)).toEqual([1, 2, 3, 4, 5]);
  expect(found.filter((e) => "eval/reward" in e.scalars).map((e) => e.step)).toEqual([0, 2, 4, 5]);
  for (let k = 1; k < found.length; k++) expect(found[k].wallTime).toBeGreaterThan(found[k - 1].wallTime);
  const lines = new TextDecoder()
    .decode(await storage.read("run/metrics.jsonl"))
    .trim()
    .split("\n");
  expect(lines.length).toBe(5);
  for (const [k, line] of lines.entries()) {
    const { step, ...metrics } = JSON.parse(line);
    const numbers = Object.entries(metrics).filter(([, value]) => typeof value === "number");
    expect(steps[k].step).toBe(step);
    expect(steps[k].scalars).toEqual(Object.fromEntries(numbers.map(([key, x]) => [key, Math.fround(x as number)])));
  }
  expect(result.steps).toBe(5);
});

test("a crash after a checkpoint that the event file had not caught up with: steps come from the run folder, each once", async () => {
  const storage = memoryStorage();
  const logger = tensorBoard({ storage, now: () => 1_700_000_000_000 });
  const engine = await createEngine({ threads: 1, storage, logger });
  await engine.train(config(4), { task });
  const name = (await storage.list("run")).find((file) => file.startsWith("events.out.tfevents."))!;
  const path = `run/${name}`;
  const whole = events(await storage.read(path));
  expect(whole.map((e) => e.step)).toEqual([0, 0, 1, 2, 2, 3, 4, 4]);
  // The last bytes never reached the disk: an evaluation of step 2 and all of steps 3 and 4 are cut.
  const bytes = await storage.read(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = 0;
  for (let k = 0; k < 4; k++) end += view.getUint32(end, true) + 16;
  await storage.write(path, bytes.slice(0, end + 5));
  await engine.train(config(5, { resume: true }), { task });
  await engine.close();
  const found = events(await storage.read(path));
  expect(found.slice(0, whole.length)).toEqual(whole);
  expect(found.slice(whole.length).map((e) => e.step)).toEqual([5, 5]);
});

test("an evaluation on a data set is logged with what it measured", async () => {
  const storage = memoryStorage();
  const heard: [number, Readonly<Record<string, number>>][] = [];
  const logger: Logger = { onMetrics: (step, record) => void heard.push([step, record]) };
  const engine = await createEngine({ threads: 1, storage, logger });
  const examples = ["ab", "cd", "ef"].map((text) => ({ prompt: text[0], completion: text[1] }));
  await engine.train(config(1, { recipe: "sft", evalEvery: 0 }), { task: { examples, heldout: examples } });
  await engine.close();
  const evaluations = heard.filter(([, record]) => "eval/loss" in record);
  expect(evaluations.map(([step]) => step)).toEqual([0, 1]);
  expect(evaluations[1][1]["eval/loss"]).toBeLessThan(evaluations[0][1]["eval/loss"]);
});

test("a logger that fails is named in a note and told no more; the run and the other loggers go on", async () => {
  const storage = memoryStorage();
  const heard: string[] = [];
  const good: Logger = {
    onStart: ({ run }) => void heard.push(`start ${run}`),
    onMetrics: async (step, record) => {
      // Slower than the run: it is awaited at the end.
      for (let k = 0; k < 50; k++) await null;
      heard.push(`${step} ${"reward" in record ? "step" : "eval"}`);
    },
    onEnd: (result) => void heard.push(`end ${result?.steps}`),
  };
  let told = 0;
  const bad: Logger = {
    onMetrics() {
      told++;
      throw new Error("disk full");
    },
  };
  const notes: string[] = [];
  const engine = await createEngine({ threads: 1, storage, logger: good });
  await engine.train(config(2, { evalEvery: 0 }), { task, logger: bad, onNote: (note) => notes.push(note) });
  expect(heard).toEqual(["start run", "0 eval", "1 step", "2 step", "2 eval", "end 2"]);
  expect(told).toBe(1);
  expect(notes.filter((note) => note.includes("disk full"))).toEqual([
    "a logger failed and is told no more: disk full",
  ]);

  heard.length = 0;
  const broken = { ...task, rewards: () => "no" as unknown as number };
  await expect(engine.train(config(2, { out: "other" }), { task: broken })).rejects.toThrow(/returned "no"/);
  expect(heard).toEqual(["end undefined"]);
  await engine.close();
});

/**
 * A run as Weights & Biases' client for JavaScript has it (@wandb/sdk: Run.log(data, step?, commit?), finish(code?)): the step
 * is a number, the record is written into, steps never fall.
 */
function wandbRun() {
  const rows: [step: number, data: Record<string, unknown>][] = [];
  const run = {
    step: 0,
    code: null as number | null,
    log(data: Record<string, unknown>, step?: number, commit?: boolean): void {
      if (run.code !== null) throw new Error("log after finish");
      if (step !== undefined && !(Number.isInteger(step) && step >= run.step)) throw new Error(`step ${step}`);
      if (commit !== undefined) throw new Error(`commit ${commit}`);
      run.step = step ?? run.step + 1;
      data["_step"] = run.step;
      rows.push([run.step, data]);
    },
    async finish(code?: number): Promise<void> {
      run.code = code ?? 0;
    },
    rows,
  };
  return run;
}

test("a tracker gets each step once as Weights & Biases takes it, an evaluation's numbers in it, and its end", async () => {
  const run = wandbRun();
  const logger = tracker(run);
  await logger.onMetrics(0, Object.freeze({ "eval/reward": 0 }));
  await logger.onMetrics(1, Object.freeze({ reward: 1 }));
  await logger.onMetrics(2, Object.freeze({ reward: 2 }));
  await logger.onMetrics(2, Object.freeze({ "eval/reward": 3 }));
  await logger.onEnd?.({ steps: 2 } as TrainResult);
  expect(run.rows).toEqual([
    [0, { "eval/reward": 0, _step: 0 }],
    [1, { reward: 1, _step: 1 }],
    [2, { reward: 2, "eval/reward": 3, _step: 2 }],
  ]);
  expect(run.code).toBe(0);

  const later = wandbRun();
  const goesOn = tracker(later, { from: 2 });
  await goesOn.onMetrics(2, { reward: 2 });
  await goesOn.onMetrics(3, { reward: 3 });
  await goesOn.onEnd?.(null);
  expect(later.rows).toEqual([[3, { reward: 3, _step: 3 }]]);
  expect(later.code, "a run that failed is marked so").toBe(1);
});

test("a run logged to a tracker", async () => {
  const storage = memoryStorage();
  const run = wandbRun();
  const engine = await createEngine({ threads: 1, storage });
  const notes: string[] = [];
  const result = await engine.train(config(3), { task, logger: tracker(run), onNote: (note) => notes.push(note) });
  await engine.close();
  expect(notes.filter((note) => note.includes("logger"))).toEqual([]);
  expect(run.rows.map(([step]) => step)).toEqual([0, 1, 2, 3]);
  expect(run.rows[3][1]).toMatchObject({ reward: result.reward.last, "eval/reward": result.eval.after!.reward });
  expect(Object.values(run.rows[3][1]).every(Number.isFinite)).toBe(true);
  expect(run.code).toBe(0);
});
