/** @file report.html of a comparison: curves of several recipes with their intervals, and a table of outcomes. */

import { type Comparison, CURVES, type CurvePoint } from "./compare.ts";
import { describeConfig, type TrainConfig, taskName } from "./config.ts";
import type { Interval } from "./demos/lib/verdict.ts";
import { escapeHtml as e, formatNumber, ticks } from "./plot.ts";
import { STYLE } from "./report.ts";

const HUES = [222, 18, 158, 286, 42, 330, 190, 100];
const colour = (k: number) => `hsl(${HUES[k % HUES.length]} 65% 50%)`;

const WIDTH = 480;
const HEIGHT = 240;
const PAD = { left: 46, right: 12, top: 10, bottom: 24 };

const EXTRA = `
.grid2{grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr))}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:16px 0;padding:0;list-style:none}
.legend i{display:inline-block;width:14px;height:3px;margin-right:7px;vertical-align:middle;border-radius:2px}
`;

/** "0.412 [0.39, 0.43]" */
export function intervalText(x: Interval | null): string {
  if (!x) return "–";
  const range = Number.isFinite(x.low) ? ` [${formatNumber(x.low)}, ${formatNumber(x.high)}]` : "";
  return `${formatNumber(x.mean)}${range}`;
}

/** Lines with their 95 % bands, one a recipe. */
function curvesFigure(
  title: string,
  curves: Readonly<Record<string, readonly CurvePoint[]>>,
  recipes: string[],
): string {
  const all = Object.values(curves).flat();
  const head = `<figcaption><span>${e(title)}</span></figcaption>`;
  if (all.length === 0) return `<figure>${head}<p class="none">not measured</p></figure>`;
  const [x0, x1] = [Math.min(...all.map((p) => p.step)), Math.max(...all.map((p) => p.step))];
  const [low, high] = [Math.min(...all.map((p) => p.low)), Math.max(...all.map((p) => p.high))];
  const margin = low === high ? Math.abs(low) / 10 || 1 : 0;
  const [y0, y1] = [low - margin, high + margin];
  const px = (x: number) => (PAD.left + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - PAD.left - PAD.right)).toFixed(1);
  const py = (y: number) => (HEIGHT - PAD.bottom - ((y - y0) / (y1 - y0)) * (HEIGHT - PAD.top - PAD.bottom)).toFixed(1);
  const path = (points: readonly [number, number][]) =>
    points.map(([x, y], i) => `${i ? "L" : "M"}${px(x)} ${py(y)}`).join("");
  const parts = ticks(y0, y1).map(
    (y) =>
      `<line class="grid" x1="${PAD.left}" x2="${WIDTH - PAD.right}" y1="${py(y)}" y2="${py(y)}"/>` +
      `<text x="${PAD.left - 6}" y="${py(y)}" dy="0.32em" text-anchor="end">${formatNumber(y)}</text>`,
  );
  for (const x of ticks(x0, x1).filter(Number.isInteger)) {
    parts.push(`<text x="${px(x)}" y="${HEIGHT - 8}" text-anchor="middle">${formatNumber(x)}</text>`);
  }
  recipes.forEach((recipe, k) => {
    const points = curves[recipe];
    if (points.length === 0) return;
    const over = points.map((p): [number, number] => [p.step, p.high]);
    const under = points.map((p): [number, number] => [p.step, p.low]).reverse();
    parts.push(`<path d="${path([...over, ...under])}Z" fill="${colour(k)}" opacity=".15"/>`);
    const line = path(points.map((p) => [p.step, p.mean]));
    const tip = `${recipe}: ${intervalText(points.at(-1)!)} at step ${points.at(-1)!.step}`;
    parts.push(`<path d="${line}" fill="none" stroke="${colour(k)}" stroke-width="2"><title>${e(tip)}</title></path>`);
  });
  const label = `${title} of ${recipes.join(", ")}`;
  return `<figure>${head}<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${e(label)}">${parts.join("")}</svg></figure>`;
}

/** The page; all text is escaped. `config` is that of the first run. */
export function comparisonReport(comparison: Comparison, config: TrainConfig): string {
  const { recipes, seeds, curves, outcomes } = comparison;
  const title = `${taskName(config)} · ${recipes.join(", ")}`;
  const derived = describeConfig(config);
  const legend = recipes.map((r, k) => `<li><i style="background:${colour(k)}"></i>${e(r)}</li>`).join("");
  const figures = Object.entries(curves).map(([key, each]) =>
    curvesFigure(CURVES[key as keyof typeof CURVES], each, recipes),
  );
  const rows = Object.entries(outcomes).map(([name, each]) => {
    const cells = recipes.map((recipe) => {
      const { value, difference } = each[recipe];
      const against = difference ? `<br><small>difference ${e(intervalText(difference))}</small>` : "";
      return `<td>${e(intervalText(value))}${against}</td>`;
    });
    return `<tr><th>${e(name)}</th>${cells.join("")}</tr>`;
  });
  const digests = recipes.map((r) => `<dt>${e(r)}</dt><dd class="mono">${e(comparison.digests[r].join(" "))}</dd>`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${e(title)}</title><style>${STYLE}${EXTRA}</style></head><body><main>
<header><h1>${e(title)}</h1><p class="soft">${seeds.length} seeds (${e(seeds.join(", "))}), the same for every recipe; ${config.steps} steps of
${derived.trajectoriesPerStep} trajectories, ${derived.optimizerSteps} optimiser steps</p><ul class="legend">${legend}</ul></header>
<h2>Learning curves</h2><div class="grid2">${figures.join("")}</div>
<p class="soft" style="margin-top:10px">Lines: means over seeds. Bands: 95 % intervals (Student's t).</p>
<h2>Outcomes</h2><div class="scroll"><table><tr><th></th>${recipes.map((r) => `<th>${e(r)}</th>`).join("")}</tr>${rows.join("")}</table></div>
<p class="soft" style="margin-top:10px">Means over seeds with 95 % intervals; differences from ${e(recipes[0])}, seed by seed.</p>
<h2>Weights</h2><dl>${digests.join("")}</dl>
<h2>Configuration</h2><details><summary>config.json of the first run</summary><pre>${e(JSON.stringify(config, null, 2))}</pre></details>
</main></body></html>
`;
}
