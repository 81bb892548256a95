/**
 * @file What a training step costs: time and peak of tensors against tokens, width, vocabulary and group size, one of them
 * at a time, into docs/cost.md and docs/cost.svg. A slope is that of log cost against log size: 1 is linear.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { generate } from "../../core/rollout.ts";
import { CpuDevice } from "../../hosts/cpu.ts";
import { open, trainingStep } from "./training.ts";

const base = { vocabSize: 2048, hiddenSize: 128, layers: 4, heads: 4, kvHeads: 4, intermediateSize: 344 };
const standard = { shape: base, sequences: 8, length: 65, group: 8 };
type Setting = typeof standard;

interface Curve {
  readonly name: string;
  readonly sizes: readonly number[];
  readonly at: (size: number) => Setting;
}

const all: readonly Curve[] = [
  {
    name: "tokens of a batch (sequences of 64)",
    sizes: [256, 512, 1024, 2048, 4096],
    at: (n) => ({ ...standard, sequences: n / 64 }),
  },
  {
    name: "width",
    sizes: [64, 128, 256, 512],
    at: (n) => ({ ...standard, shape: { ...base, hiddenSize: n, intermediateSize: Math.round(n * 2.6875) } }),
  },
  {
    name: "vocabulary",
    sizes: [512, 2048, 8192, 32768],
    at: (n) => ({ ...standard, shape: { ...base, vocabSize: n } }),
  },
  {
    name: "group size (rollouts of one prompt of 64 tokens, 32 new ones each, then their training step)",
    sizes: [4, 8, 16, 32, 64],
    at: (n) => ({ ...standard, group: n, sequences: n, length: 97 }),
  },
];

interface Point {
  size: number;
  milliseconds: number;
  megabytes: number;
}

async function measure(curve: Curve, size: number): Promise<Point> {
  const { shape, sequences, length, group } = curve.at(size);
  const device = await CpuDevice.create(1);
  const session = open(device, shape);
  const train = trainingStep(session, sequences, length);
  const prompt = Array.from({ length: 64 }, (_, i) => 1 + (i % 200));
  const options = { maxTokens: 32, temperature: 1, topK: 0, topP: 1, minP: 0, stopIds: [] };
  const times: number[] = [];
  for (let r = 0; r < 6; r++) {
    const t0 = process.cpuUsage();
    if (curve.name.startsWith("group")) {
      await generate(session.model, [prompt], group, options, { seed: 1, stream: 3, step: r });
    }
    await train();
    const { user, system } = process.cpuUsage(t0);
    times.push((user + system) / 1000);
  }
  const megabytes = device.memory.peak / 1e6;
  session.close();
  device.close();
  times.shift();
  return { size, milliseconds: times.sort((a, b) => a - b)[times.length >> 1], megabytes };
}

/** Least-squares slope of log y over log x. */
function slope(points: readonly Point[], y: (p: Point) => number): number {
  const xs = points.map((p) => Math.log(p.size));
  const ys = points.map((p) => Math.log(y(p)));
  const mean = (v: readonly number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(xs), mean(ys)];
  return xs.reduce((s, x, i) => s + (x - mx) * (ys[i] - my), 0) / xs.reduce((s, x) => s + (x - mx) ** 2, 0);
}

const row = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;

/** One panel a curve, both axes logarithmic. */
function svg(results: readonly { curve: Curve; points: Point[] }[]): string {
  const [w, h, pad] = [300, 190, 44];
  const panels = results.map(({ curve, points }, k) => {
    const spread = (values: number[]) => [Math.min(...values), Math.max(...values)].map(Math.log);
    const place = (value: number, [lo, hi]: number[], from: number, to: number) =>
      (from + ((Math.log(value) - lo) / Math.max(1e-9, hi - lo)) * (to - from)).toFixed(1);
    const sizes = spread(points.map((p) => p.size));
    const lines = (
      [
        ["milliseconds", "#1f6feb", "ms"],
        ["megabytes", "#c2410c", "MB"],
      ] as const
    ).map(([key, colour, unit], line) => {
      const range = spread(points.map((p) => p[key]));
      const xy = points.map((p) => [place(p.size, sizes, pad, w - 50), place(p[key], range, h - 40, 34)]);
      const dots = xy.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="2.5" fill="${colour}"/>`).join("");
      const [first, last] = [points[0], points[points.length - 1]];
      const label = `${first[key].toPrecision(3)} … ${last[key].toPrecision(3)} ${unit}, slope ${slope(points, (p) => p[key]).toFixed(2)}`;
      return (
        `<polyline fill="none" stroke="${colour}" points="${xy.map((p) => p.join(",")).join(" ")}"/>${dots}` +
        `<text x="${pad}" y="${h - 8 - 12 * line}" fill="${colour}">${label}</text>`
      );
    });
    const title = curve.name.split(" (")[0];
    const ends = `${points[0].size} … ${points[points.length - 1].size}`;
    const at = `translate(${(k % 2) * w},${Math.floor(k / 2) * h})`;
    return `<g transform="${at}"><text x="${pad}" y="18" font-weight="bold">${title}: ${ends}</text>${lines.join("")}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * w}" height="${2 * h}" font-family="sans-serif" font-size="10"><title>Time and memory of a step against size</title><rect width="100%" height="100%" fill="white"/>${panels.join("")}</svg>\n`;
}

export async function curves({ json = false, out = "docs" } = {}): Promise<void> {
  const results: { curve: Curve; points: Point[] }[] = [];
  for (const curve of all) {
    const points: Point[] = [];
    for (const size of curve.sizes) {
      const point = await measure(curve, size);
      points.push(point);
      console.log(
        json
          ? JSON.stringify({ curve: curve.name, ...point })
          : `${curve.name} ${size}: ${point.milliseconds.toFixed(1)} ms, ${point.megabytes.toFixed(1)} MB`,
      );
    }
    results.push({ curve, points });
  }
  const sections = results.map(({ curve, points }) =>
    [
      `## ${curve.name[0].toUpperCase()}${curve.name.slice(1)}`,
      "",
      row(["size", "ms a step", "MB at most"]),
      row(["---:", "---:", "---:"]),
      ...points.map((p) => row([p.size, p.milliseconds.toFixed(1), p.megabytes.toFixed(1)])),
      row(["slope", slope(points, (p) => p.milliseconds).toFixed(2), slope(points, (p) => p.megabytes).toFixed(2)]),
    ].join("\n"),
  );
  const { shape, sequences, length } = standard;
  const text = [
    "# What a step costs",
    "",
    "Written by `npm run bench -- curves`. Processor time of a training step (forward, backward, AdamW) and the most bytes of",
    `tensors at a time, on WASM with one thread (${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}); medians of five. One size moves,`,
    `the others stay: width ${shape.hiddenSize}, ${shape.layers} layers, vocabulary ${shape.vocabSize}, ${sequences} sequences of ${length - 1} tokens. A slope is that of`,
    "log cost against log size: 1 is linear, 0 is constant. Memory has no term in tokens × vocabulary: logits exist for a",
    "chunk of positions at a time.",
    "",
    "![Time and memory against size](cost.svg)",
    "",
    ...sections.flatMap((s) => [s, ""]),
  ].join("\n");
  writeFileSync(`${out}/cost.md`, text);
  writeFileSync(`${out}/cost.svg`, svg(results));
}
