import { expect, test } from "vitest";
import { parseConfig } from "../core/config.ts";
import { summarize } from "../core/evaluate.ts";
import { stepMetrics } from "../core/log.ts";
import { curvesFigure, escapeHtml, formatNumber, legend, plotFigure, ticks } from "../core/plot.ts";
import { type ReportInput, report, writeReport } from "../core/report.ts";
import { openRun } from "../core/run.ts";
import { memoryStorage } from "../core/storage.ts";

const nasty = `<script>alert("x")</script>&'`;
const evaluation = (right: number, completion: string) =>
  summarize(
    [
      {
        correct: [0, 1, 2, 3].map((i) => i < right),
        rewards: [1, 0, 0, 0],
        answers: ["a", "b", "c", "d"],
        lengths: [1, 2, 3, 4],
      },
    ],
    [{ prompt: nasty, completion, reward: 1, correct: right > 2 }],
  );
const input: ReportInput = {
  config: parseConfig({ task: "sort" }),
  metrics: Array.from({ length: 30 }, (_, i) =>
    stepMetrics({ step: i + 1, reward: i / 30, entropy: 2 - i / 20, kl: i / 1000, grad_norm: 1, num_tokens: i * 1000 }),
  ),
  samples: [{ step: 3, when: "train", prompt: nasty, completion: nasty, reward: 0.5 }],
  evaluations: [
    { ...evaluation(1, nasty), step: 0, when: "before" },
    { ...evaluation(3, nasty), step: 30, when: "after" },
  ],
  recipe: { id: "grpo", paper: { title: nasty, arxiv: "2402.03300" }, formula: "A < B", describe: nasty },
  environment: { host: nasty },
  digest: "0123456789abcdef",
};

test("the page is self-contained and escapes everything that people or models wrote", () => {
  const page = report(input);
  expect(page).not.toContain("<script");
  expect(page).not.toMatch(/(src|href)\s*=|url\(|@import|https?:/);
  expect(page.split(escapeHtml(nasty)).length).toBeGreaterThan(6);
  expect(page).toContain("A &lt; B");
  expect(page).toContain("prefers-color-scheme:dark");
  expect(page).toContain('name="viewport"');
});

test("it shows before, after, their change, plots, and the digest", () => {
  const page = report(input);
  expect(page).toContain("25.0 %");
  expect(page).toContain("75.0 %");
  expect(page).toContain("+50<small> points</small>");
  expect(page).toContain("0123456789abcdef");
  // Four curves, pass@1 over the steps, and the bars of before and after.
  expect(page.match(/<svg/g)?.length).toBe(6);
  for (const title of ["reward", "entropy", "KL to the reference", "gradient norm"]) {
    expect(page).toContain(`<span>${title}`);
  }
  expect(page).toMatch(/Not measured in this run: .*; tokens a second\./);
  expect(page).not.toMatch(/NaN|undefined|Infinity/);
});

test("it shows the values of the recipe's parameters, and what the digest promises", () => {
  const params = { eps_hi: { default: 0.2, doc: "clip range above 1" }, beta: { default: 0.5, doc: "of the penalty" } };
  const metrics = input.metrics.map((m) => ({ ...m, digest: `digest-${m.step}` }));
  const config = { ...input.config, params: { eps_hi: 0.28 } };
  const page = report({ ...input, recipe: { ...input.recipe, params }, metrics, config });
  expect(page).toContain("0.28 <small>default 0.2</small>");
  expect(page).toContain(">0.5</td>");
  expect(page).toContain("clip range above 1");
  expect(page).toMatch(/bit for bit, wherever it runs:/);
  for (const step of [1, 7, 13, 30]) expect(page).toContain(`digest-${step}<`);
  expect(report({ ...input, config: { ...config, precision: "fast" } })).toContain("keeps no bits");
});

test("curves of several runs: a line each, bands where there are intervals, nothing that is not a number", () => {
  const line = [0.25, 0.5, 0.75].map((y, x) => ({ x, y, low: y - 0.1, high: y + 0.1 }));
  const lonely = [{ x: 1, y: 2 }];
  const svg = curvesFigure({
    title: "reward",
    series: [nasty, "b", "c"].map((name, k) => ({ name, points: [line, lonely, []][k] })),
  });
  expect(svg.match(/stroke="var\(--s0\)"/g)?.length).toBe(1);
  expect(svg.match(/opacity="\.15"/g)?.length).toBe(1);
  expect(svg.match(/<circle/g)?.length).toBe(1);
  expect(svg).toContain(escapeHtml(`${nasty}: 0.75 [0.65, 0.85] at step 2`));
  expect(svg).not.toMatch(/NaN|undefined|Infinity|<script/);
  expect(curvesFigure({ title: "none", series: [{ name: "a", points: [] }] })).toContain("not measured");
  expect(legend([nasty, "b"])).toContain(escapeHtml(nasty));
});

test("an empty run still has a page", () => {
  const page = report({ ...input, metrics: [], samples: [], evaluations: [] });
  expect(page).toContain("not measured in this run");
  expect(page).not.toMatch(/NaN|undefined|Infinity/);
});

test("writeReport reads the run folder", async () => {
  const storage = memoryStorage();
  const run = await openRun(storage, parseConfig({ out: "r" }));
  for (const metrics of input.metrics) await run.appendMetrics(metrics);
  for (const line of input.evaluations) await run.appendEvaluation(line);
  expect(await writeReport(run, { recipe: { id: "grpo" }, environment: {}, digest: "d" })).toBe("r/report.html");
  expect(new TextDecoder().decode(await storage.read("r/report.html"))).toContain("+50<small> points</small>");
});

test("ticks are round and inside", () => {
  expect(ticks(0, 1).map((t) => Number(t.toFixed(9)))).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(0, 100)).toEqual([0, 20, 40, 60, 80, 100]);
  expect(ticks(3, 3)).toEqual([3]);
  for (const [low, high] of [
    [-0.00013, 0.0007],
    [123, 98765],
    [-5, -4.99],
  ]) {
    const marks = ticks(low, high);
    expect(marks.length).toBeGreaterThanOrEqual(2);
    expect(marks.length).toBeLessThanOrEqual(8);
    for (const mark of marks) expect(mark >= low - 1e-9 && mark <= high + 1e-9).toBe(true);
  }
});

test("numbers for people", () => {
  expect([0, 0.5, 1234.5, 12345, 2.5e6, 0.00012, null, Number.NaN].map((x) => formatNumber(x))).toEqual([
    "0",
    "0.5",
    "1230",
    "12.3k",
    "2.5M",
    "1.2e-4",
    "–",
    "–",
  ]);
});

test("a plot draws one point, equal points and ten thousand points without a bad coordinate", () => {
  const many = Array.from({ length: 10_000 }, (_, x) => ({ x, y: Math.sin(x) }));
  for (const points of [
    [{ x: 1, y: 5 }],
    [
      { x: 1, y: 0 },
      { x: 2, y: 0 },
    ],
    many,
  ]) {
    const svg = plotFigure({ title: "t", points, from: 0 });
    expect(svg).toContain("<svg");
    expect(svg).not.toMatch(/NaN|Infinity/);
    expect(svg.length).toBeLessThan(80_000);
  }
});
