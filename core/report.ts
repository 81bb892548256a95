/** @file report.html of a run: one self-contained page, no network, no script; light and dark; readable on a phone. */

import { describeConfig, isFileTask, type TrainConfig, taskName } from "./config.ts";
import type { EvalResult } from "./evaluate.ts";
import { dataKeys, type StepMetrics } from "./log.ts";
import { barsFigure, escapeHtml as e, formatNumber, type Plot, plotFigure } from "./plot.ts";
import type { EvaluationLine, Run, SampleLine } from "./run.ts";

/** What a report says of the algorithm; a recipe has these fields. */
export interface ReportRecipe {
  readonly id: string;
  readonly paper?: { readonly title: string; readonly arxiv?: string };
  readonly params?: Readonly<Record<string, { readonly default?: unknown; readonly doc?: string }>>;
  readonly formula?: string;
  readonly describe?: string;
}

export interface ReportInput {
  config: TrainConfig;
  metrics: readonly StepMetrics[];
  samples: readonly SampleLine[];
  evaluations: readonly EvaluationLine[];
  recipe: ReportRecipe;
  /** host, backend, version, …: a row each */
  environment: Readonly<Record<string, string | number>>;
  digest: string;
  /** wall-clock seconds of the run */
  seconds?: number;
}

/** The look of all reports. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1c1e21;--soft:#626a73;--line:#e3e5e8;--accent:#2457d6;--good:#11734b;--bad:#b3261e;--wash:#eef3ff;
--s0:#2457d6;--s1:#c2410c;--s2:#0f766e;--s3:#7e22ce;--s4:#92700c;--s5:#be185d;--s6:#0369a1;--s7:#4d7c0f}
@media(prefers-color-scheme:dark){:root{--bg:#121417;--card:#1a1d21;--ink:#e8eaed;--soft:#9aa3ad;--line:#2c3137;--accent:#7ea6ff;--good:#5fd39b;--bad:#ff8a80;--wash:#1d2636;
--s0:#7ea6ff;--s1:#fb923c;--s2:#2dd4bf;--s3:#c084fc;--s4:#e2b93b;--s5:#f472b6;--s6:#38bdf8;--s7:#a3e635}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 18px 60px}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:1.05rem;margin:38px 0 12px}
p{margin:0 0 10px;max-width:75ch}
.soft,figcaption span,dt,th{color:var(--soft)}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.88em}
.facts{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0 0;padding:0;list-style:none}
.facts li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;min-width:132px;flex:1 1 auto}
.facts span{display:block;color:var(--soft);font-size:.82rem}
.facts b{font-size:1.35rem;font-weight:650;font-variant-numeric:tabular-nums}
.facts .up{color:var(--good)}
.grid2{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(310px,100%),1fr));gap:12px}
.grid2.lead{grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));margin-bottom:12px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 12px 6px}
figcaption{display:flex;justify-content:space-between;gap:8px;font-size:.88rem;margin-bottom:4px}
figcaption b{font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--soft);font-size:10.5px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--line);stroke-width:1}
.raw{fill:none;stroke:var(--accent);stroke-width:1;opacity:.3}
.line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.whisker{stroke:var(--accent);stroke-width:1.5;opacity:.5}
.bar0{fill:var(--accent);opacity:.35}.bar1{fill:var(--accent)}
.error{stroke:var(--ink);stroke-width:1.5}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:12px 0;padding:0;list-style:none}
.legend li{display:flex;align-items:center;gap:7px}.legend svg{width:22px;height:6px;flex:none}
.dot{fill:var(--accent);stroke:var(--card);stroke-width:1.5}
.hit{fill:var(--accent);opacity:0}.hit:hover{opacity:.85}
.none{color:var(--soft);font-size:.88rem;padding:30px 0;text-align:center;max-width:none}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:8px 14px;border-bottom:1px solid var(--line);white-space:nowrap}
tr:last-child td,tr:last-child th{border-bottom:0}
th{font-weight:500}.left,th:first-child,td:first-child{text-align:left}
td small{color:var(--soft)}
.sample{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px;margin-bottom:10px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(280px,100%),1fr));gap:10px;margin-top:8px}
.pair>div{background:var(--bg);border-radius:8px;padding:8px 10px;min-width:0}
.pair h3{margin:0 0 4px;font-size:.78rem;font-weight:500;color:var(--soft);display:flex;justify-content:space-between}
.text{white-space:pre-wrap;overflow-wrap:anywhere}
.right{box-shadow:inset 3px 0 0 var(--good)}
.wrap{white-space:normal;min-width:16em}
.beside{display:grid;grid-template-columns:minmax(0,2fr) minmax(0,3fr);gap:12px;align-items:start}
.beside>:only-child{grid-column:1/-1}
@media(max-width:960px){.beside{grid-template-columns:minmax(0,1fr)}}
.formula{background:var(--wash);border-radius:8px;padding:10px 14px;overflow-x:auto;white-space:pre-wrap}
dl{display:grid;grid-template-columns:auto 1fr;gap:4px 16px;margin:0}
dd{margin:0;overflow-wrap:anywhere}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
summary{cursor:pointer}pre{overflow-x:auto;margin:10px 0 0}
@media(max-width:560px){th,td{padding:7px 9px}th{white-space:normal}td small{display:block}.facts li{min-width:46%;padding:10px 12px}}
@media print{body{background:#fff}figure,.sample{break-inside:avoid}}
`;

type Estimate = `pass@${number}` | `maj@${number}`;

const percent = (x: number | null | undefined) =>
  x === null || x === undefined || !Number.isFinite(x) ? "–" : `${(100 * x).toFixed(1)} %`;

/** The estimates of evaluations, pass before maj, k ascending. */
function estimates(results: readonly EvalResult[]): Estimate[] {
  const names = new Set(results.flatMap((r) => Object.keys(r)).filter((k) => /^(pass|maj)@\d+$/.test(k)));
  const order = (name: string) => (name.startsWith("pass") ? 0 : 1e6) + Number(name.split("@")[1]);
  return [...names].sort((a, b) => order(a) - order(b)) as Estimate[];
}

function duration(seconds: number): string {
  if (seconds < 90) return `${formatNumber(seconds)} s`;
  return seconds < 5400 ? `${formatNumber(seconds / 60)} min` : `${formatNumber(seconds / 3600)} h`;
}

function evaluationTable(before: EvalResult | undefined, after: EvalResult | undefined): string {
  const results = [before, after].filter((r) => r !== undefined);
  if (results.length === 0) return "";
  const cell = (r: EvalResult | undefined, name: Estimate) => {
    const interval = r?.[`${name}/interval`];
    const range = interval ? ` <small>${(100 * interval[0]).toFixed(1)}–${(100 * interval[1]).toFixed(1)}</small>` : "";
    return `<td>${percent(r?.[name])}${range}</td>`;
  };
  const change = (a: number | null | undefined, b: number | null | undefined, scale: number, unit: string) => {
    if (typeof a !== "number" || typeof b !== "number") return "<td>–</td>";
    return `<td>${b >= a ? "+" : "−"}${formatNumber(Math.abs(b - a) * scale)}${unit && `<small> ${unit}</small>`}</td>`;
  };
  const rows = estimates(results).map(
    (n) =>
      `<tr><th>${e(n)}</th>${cell(before, n)}${cell(after, n)}${change(before?.[n], after?.[n], 100, "points")}</tr>`,
  );
  const measured = dataKeys.filter((key) => results.some((r) => typeof r.metrics?.[key] === "number"));
  for (const key of measured) {
    const [a, b] = [before?.metrics?.[key], after?.metrics?.[key]];
    rows.push(
      `<tr><th>${e(key)}</th><td>${formatNumber(a)}</td><td>${formatNumber(b)}</td>${change(a, b, 1, "")}</tr>`,
    );
  }
  for (const [name, label] of [
    ...(measured.length > 0 ? [] : ([["reward", "mean reward"]] as const)),
    ["completions/mean_length", "completion length, tokens"],
  ] as const) {
    const [a, b] = [before?.[name], after?.[name]];
    rows.push(`<tr><th>${label}</th><td>${formatNumber(a)}</td><td>${formatNumber(b)}</td>${change(a, b, 1, "")}</tr>`);
  }
  const { prompts, samplesPerPrompt } = results[0];
  const said =
    samplesPerPrompt === 0
      ? `${prompts} held-out examples.`
      : `${prompts} held-out prompts, ${samplesPerPrompt} completions each;
small figures are 95 % intervals over prompts. pass@k and maj@k are unbiased: expectations over all subsets of k.`;
  return `<h2>Before and after</h2><p class="soft">${said}</p>
<div class="beside">${passPicture(before, after)}
<div class="scroll"><table><tr><th></th><th>before</th><th>after</th><th>change</th></tr>${rows.join("")}</table></div></div>`;
}

function samplePairs(before: EvalResult | undefined, after: EvalResult | undefined): string {
  const firsts = after?.samples ?? before?.samples ?? [];
  if (firsts.length === 0) return "";
  const side = (title: string, sample: { completion: string; reward: number | null; correct: boolean } | undefined) =>
    sample
      ? `<div class="${sample.correct ? "right" : ""}"><h3><span>${title}</span><span>reward ${formatNumber(sample.reward)}</span></h3>
<div class="text mono">${e(sample.completion)}</div></div>`
      : "";
  const blocks = firsts.slice(0, 12).map((sample) => {
    const old = before?.samples.find((s) => s.prompt === sample.prompt);
    return `<div class="sample"><div class="text mono soft">${e(sample.prompt)}</div><div class="pair">${side("before", old)}${
      after ? side("after", sample) : ""
    }</div></div>`;
  });
  return `<h2>Completions of held-out prompts</h2>${blocks.join("")}`;
}

/** The curves of a run: the same in its report and on the page while it trains. */
export function runPlots(metrics: readonly StepMetrics[], evaluations: readonly EvaluationLine[]): Plot[] {
  const series = (key: keyof StepMetrics) =>
    metrics.flatMap((m) => (typeof m[key] === "number" ? [{ x: m.step, y: m[key] as number }] : []));
  if (metrics.some((m) => m.epoch !== undefined)) return dataPlots(series, evaluations);
  // An on-policy loss is 0 but for the last bit of a sum: its picture would be of rounding.
  const loss = series("loss").map(({ x, y }) => ({ x, y: Math.abs(y) < 1e-12 ? 0 : y }));
  const plots: Plot[] = [
    { title: "reward", points: series("reward") },
    {
      title: "pass@1, held out",
      dots: true,
      from: 0,
      to: 1,
      points: evaluations.map((r) => {
        const interval = r["pass@1/interval"];
        return { x: r.step, y: r["pass@1"] ?? Number.NaN, low: interval?.[0], high: interval?.[1] };
      }),
    },
    { title: "entropy, nats a token", points: series("entropy"), from: 0 },
    { title: "KL to the reference, nats a token", points: series("kl"), from: 0 },
    { title: "completion length, tokens", points: series("completions/mean_length"), from: 0 },
    { title: "gradient norm", points: series("grad_norm"), from: 0 },
    { title: "loss", points: loss },
    { title: "groups of equal rewards, share", points: series("frac_reward_zero_std"), from: 0, to: 1 },
    { title: "learning rate", points: series("learning_rate"), from: 0 },
    { title: "tokens a second", points: series("tokens_per_second"), from: 0 },
  ];
  const rewards = new Set(metrics.flatMap((m) => Object.keys(m)).filter((k) => /^rewards\/.*\/mean$/.test(k)));
  if (rewards.size > 1) {
    for (const key of rewards) plots.push({ title: key.slice(0, -5), points: series(key as keyof StepMetrics) });
  }
  return plots;
}

/** Of a run on a data set: what it measured, in training and on held-out examples. */
function dataPlots(series: (key: keyof StepMetrics) => Plot["points"], evaluations: readonly EvaluationLine[]): Plot[] {
  const seen = dataKeys.filter((key) => series(key).length > 0);
  const heldout = (key: (typeof dataKeys)[number]): Plot["points"] =>
    evaluations.flatMap(({ step, metrics }) =>
      typeof metrics?.[key] === "number" ? [{ x: step, y: metrics[key] }] : [],
    );
  return [
    ...seen.flatMap((key) => {
      const share = key === "rewards/accuracies" || key === "accuracy" ? { from: 0, to: 1 } : {};
      const plot: Plot = { title: key, points: series(key), ...share };
      const points = heldout(key);
      const watched = key === "loss" || "from" in share;
      return watched && points.length > 0
        ? [plot, { title: `${key}, held out`, dots: true, points, ...share }]
        : [plot];
    }),
    { title: "gradient norm", points: series("grad_norm"), from: 0 },
    { title: "learning rate", points: series("learning_rate"), from: 0 },
    { title: "tokens a second", points: series("tokens_per_second"), from: 0 },
  ];
}

function training(metrics: readonly StepMetrics[], evaluations: readonly EvaluationLine[]): string {
  const all = runPlots(metrics, evaluations);
  const measured = all.filter(({ points }) => points.length > 0);
  const shown = measured.length > 0 ? measured : all.slice(0, 1);
  const left = all.filter((plot) => !shown.includes(plot)).map(({ title }) => title);
  const onPolicy = `On policy a loss whose advantages sum to 0 over each
group is 0 by construction (every ratio is 1); its gradient is not.`;
  const figures = (plots: readonly Plot[]) => plots.map(plotFigure).join("");
  return `<h2>Training</h2><div class="grid2 lead">${figures(shown.slice(0, 2))}</div><div class="grid2">${figures(shown.slice(2))}</div>
<p class="soft" style="margin-top:10px">Faint: each step. Strong: moving average. ${metrics.some((m) => m.epoch !== undefined) ? "" : onPolicy}
${left.length > 0 ? `Not measured in this run: ${e(left.join("; "))}.` : ""}</p>`;
}

/** pass@k and maj@k before and after, side by side. */
function passPicture(before: EvalResult | undefined, after: EvalResult | undefined): string {
  if (!before || !after) return "";
  const groups = estimates([before, after]).map((name) => ({
    name,
    values: [before, after].map((r) => {
      const interval = r[`${name}/interval`];
      return typeof r[name] === "number" ? { x: 0, y: r[name], low: interval?.[0], high: interval?.[1] } : null;
    }),
  }));
  if (groups.length === 0) return "";
  return barsFigure({ title: "right answers, held out", names: ["before", "after"], groups, to: 1 });
}

const MARKS = 6;

/** What the digest promises, and the digests on the way. */
function exactness(input: ReportInput): string {
  const { config, metrics, digest } = input;
  const marks = new Set(Array.from({ length: MARKS }, (_, k) => Math.round((k * (metrics.length - 1)) / (MARKS - 1))));
  const steps = metrics.filter((m, k) => marks.has(k) && m.digest !== "");
  const own = isFileTask(config.task) ? " and the reward function gives the same numbers" : "";
  const said =
    config.precision === "fast"
      ? `Precision "fast" keeps no bits: another machine may end with other weights. With precision 12 or 24 they would be the same.`
      : `Every sum has a fixed order and every rounding a fixed place. So this configuration gives these samples, these curves
(but for times) and these weights again, bit for bit, wherever it runs${own}: on any number of threads, in any number of micro-batches,
stopped and resumed or not, on WASM or WebGPU, in Node, Deno or a browser. Another machine is compared by one number:`;
  return `<h2>Exactness</h2><p>${said}</p><p class="formula mono">digest of the weights ${e(digest)}</p>${
    steps.length > 1
      ? `<div class="scroll"><table><tr><th>after step</th>${steps.map((m) => `<td>${m.step}</td>`).join("")}</tr>
<tr><th>digest</th>${steps.map((m) => `<td class="mono">${e(m.digest)}</td>`).join("")}</tr></table></div>`
      : ""
  }`;
}

/** The recipe's parameters with the values of this run. */
function parameters(recipe: ReportRecipe, config: TrainConfig): string {
  const specs = Object.entries(recipe.params ?? {});
  if (specs.length === 0) return "";
  const lines = specs.map(([name, spec]) => {
    const given = config.params[name];
    const value = e(JSON.stringify(given === undefined ? spec.default : given) ?? "");
    const standard = given !== undefined && JSON.stringify(given) !== JSON.stringify(spec.default);
    const was = standard ? ` <small>default ${e(JSON.stringify(spec.default))}</small>` : "";
    return `<tr><th class="mono">${e(name)}</th><td class="mono left">${value}${was}</td><td class="left soft wrap">${e(spec.doc ?? "")}</td></tr>`;
  });
  return `<div class="scroll"><table>${lines.join("")}</table></div>`;
}

function rows(values: Readonly<Record<string, string | number>>): string {
  return `<dl>${Object.entries(values)
    .map(([name, value]) => `<dt>${e(name)}</dt><dd class="mono">${e(value)}</dd>`)
    .join("")}</dl>`;
}

/** The page; all text of models and users is escaped. */
export function report(input: ReportInput): string {
  const { config, metrics, evaluations, recipe, digest } = input;
  const before = evaluations.find((r) => r.when === "before");
  const after = evaluations.findLast((r) => r.when === "after");
  const last = metrics.at(-1);
  const title = `${taskName(config)} · ${recipe.id}`;
  const facts: [string, string, boolean?][] = [];
  if (before?.metrics && after?.metrics) {
    const [was, is] = [before.metrics, after.metrics];
    facts.push([
      "loss, held out",
      `${formatNumber(was.loss)} → ${formatNumber(is.loss)}`,
      Number(is.loss) < Number(was.loss),
    ]);
    for (const key of ["rewards/accuracies", "accuracy"] as const) {
      if (typeof is[key] === "number") facts.push(["accuracy, held out", `${percent(was[key])} → ${percent(is[key])}`]);
    }
  } else if (before && after) {
    facts.push(["pass@1 before", percent(before["pass@1"])]);
    facts.push(["pass@1 after", percent(after["pass@1"]), after["pass@1"] > before["pass@1"]]);
  }
  const shown = last?.epoch === undefined ? "reward" : "loss";
  facts.push([`${shown}, first → last step`, `${formatNumber(metrics[0]?.[shown])} → ${formatNumber(last?.[shown])}`]);
  facts.push(["steps", String(last?.step ?? 0)]);
  facts.push(["tokens", formatNumber(last?.num_tokens)]);
  // A run that was resumed took its steps' time before, too.
  const stepped = input.metrics.reduce((sum, { step_time }) => sum + (step_time ?? 0), 0);
  if (input.seconds !== undefined) facts.push(["time", duration(Math.max(input.seconds, stepped))]);

  const derived = describeConfig(config);
  const paper = recipe.paper
    ? `<p>${e(recipe.paper.title)}${recipe.paper.arxiv ? `, arXiv ${e(recipe.paper.arxiv)}` : ""}</p>`
    : "";
  const rollouts = input.samples.filter((s) => s.when === "train").slice(-6);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${e(title)}</title><style>${STYLE}</style></head><body><main>
<header><h1>${e(title)}</h1><p class="soft">seed ${config.seed} · digest of the weights <code>${e(digest)}</code></p>
<ul class="facts">${facts
    .map(([name, value, up]) => `<li><span>${e(name)}</span><b${up ? ' class="up"' : ""}>${e(value)}</b></li>`)
    .join("")}</ul></header>
${training(metrics, evaluations)}
${evaluationTable(before, after)}
${samplePairs(before, after)}
${
  rollouts.length > 0
    ? `<h2>Last rollouts</h2><div class="scroll"><table><tr><th>prompt</th><th class="left">completion</th><th>step</th><th>reward</th></tr>${rollouts
        .map(
          (s) =>
            `<tr><td class="mono">${e(clip(s.prompt))}</td><td class="mono left">${e(clip(s.completion))}</td><td>${s.step}</td><td>${formatNumber(s.reward)}</td></tr>`,
        )
        .join("")}</table></div>`
    : ""
}
<h2>Recipe: ${e(recipe.id)}</h2>${paper}
${recipe.formula ? `<p class="formula mono">${e(recipe.formula)}</p>` : ""}
${recipe.describe ? `<p>${e(recipe.describe)}</p>` : ""}
${parameters(recipe, config)}
${exactness(input)}
<h2>Where it ran</h2>${rows(input.environment)}
<h2>Configuration</h2>
<p class="soft">${derived.trajectoriesPerStep} trajectories a step, ${derived.trajectoriesPerOptimizerStep} an optimiser step,
${derived.trajectoriesPerMicroBatch} a micro-batch; ${derived.optimizerSteps} optimiser steps in all.</p>
<details><summary>config.json</summary><pre>${e(JSON.stringify(config, null, 2))}</pre></details>
</main></body></html>
`;
}

function clip(text: string): string {
  const line = text.replaceAll("\n", "⏎");
  return line.length > 90 ? `${line.slice(0, 90)}…` : line;
}

/** Writes report.html of a run from what its folder holds; the path. */
export async function writeReport(
  run: Run,
  given: Pick<ReportInput, "recipe" | "environment" | "digest" | "seconds">,
): Promise<string> {
  const [metrics, samples, evaluations] = [await run.metrics(), await run.samples(), await run.evaluations()];
  return run.write("report.html", report({ ...given, config: run.config, metrics, samples, evaluations }));
}
