#!/usr/bin/env node
// The README's picture, from a finished run: its reward and its share of right answers, in the look of report.html.
//   npm start -- --out RUN --seed 0 && node hosts/docs-picture.mjs RUN > docs/first-run.svg
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const run = process.argv[2];
if (!run) throw new Error("docs-picture: give a run folder, as in `node hosts/docs-picture.mjs runs/first`");
const lines = (name) =>
  readFileSync(join(run, name), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const folder = mkdtempSync(join(tmpdir(), "cohort-picture-"));
const outfile = join(folder, "plots.mjs");
const contents = 'export { runPlots, STYLE } from "./core/report.ts"; export { plotFigure } from "./core/plot.ts";';
await build({ stdin: { contents, resolveDir: root, loader: "ts" }, bundle: true, format: "esm", outfile });
const { runPlots, STYLE, plotFigure } = await import(pathToFileURL(outfile).href);
rmSync(folder, { recursive: true });

const shown = ["reward", "entropy", "equal rewards"];
const plots = runPlots(lines("metrics.jsonl"), lines("evaluations.jsonl"));
const chosen = shown.map((word) => plots.find(({ title }) => title.toLowerCase().includes(word))).filter(Boolean);
const cell = { width: 380, height: 214 };
const parts = chosen.map((plot, k) => {
  const figure = plotFigure(plot);
  const body = /<svg[^>]*>([\s\S]*)<\/svg>/.exec(figure)[1].replace(/<circle class="hit"[\s\S]*?<\/circle>/g, "");
  const [, title, value] = /<figcaption><span>(.*?)<\/span><b>(.*?)<\/b>/.exec(figure);
  return `<g transform="translate(${k * cell.width + 10} 10)"><text class="title" x="4" y="14">${title}</text><text class="value" x="348" y="14" text-anchor="end">${value}</text><g transform="translate(0 24)">${body}</g></g>`;
});
// Only what a drawing needs of the report's look: its colours, lines and figures.
const look = STYLE.split("\n").filter((line) =>
  /^(:root|--s0|@media|\.grid\{|\.raw|\.line|\.dot|\.whisker|svg text)/.test(line),
);
const width = chosen.length * cell.width;
console.log(
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${cell.height}" font-family="system-ui,sans-serif"><title>A run: ${chosen.map(({ title }) => title).join("; ")}</title><style>${look.join("")}.title{font-size:13px}.value{font-size:13px;font-weight:600;fill:var(--ink)}</style><rect width="${width}" height="${cell.height}" rx="10" fill="var(--card)"/>${parts.join("")}</svg>`,
);
