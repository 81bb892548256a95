/** @file report.html of a comparison: curves of several recipes with their intervals, and a table of outcomes. */

import { type ComparedRecipe, type Comparison, CURVES, FEW_SEEDS } from "./compare.ts";
import { describeConfig, type TrainConfig, taskName } from "./config.ts";
import type { Interval } from "./demos/lib/verdict.ts";
import { curvesFigure, escapeHtml as e, formatNumber, legend } from "./plot.ts";
import { STYLE } from "./report.ts";

const EXTRA = `
.grid2{grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr))}
.recipes td,.recipes th{vertical-align:top}
a{color:var(--accent)}
`;

/** "0.412 [0.39, 0.43]" */
export function intervalText(x: Interval | null): string {
  if (!x) return "–";
  const range = Number.isFinite(x.low) ? ` [${formatNumber(x.low)}, ${formatNumber(x.high)}]` : "";
  return `${formatNumber(x.mean)}${range}`;
}

const written = (value: unknown) => e(JSON.stringify(value) ?? "");

/** True where a parameter is not what the recipe has by itself. */
export const isChanged = ({ value, default: standard }: ComparedRecipe["params"][string]): boolean =>
  JSON.stringify(value) !== JSON.stringify(standard);

/** A row a recipe: paper, formula, parameters; those that are not the recipe's default stand out and name it. */
function recipesTable(recipes: readonly ComparedRecipe[]): string {
  const rows = recipes.map(({ id, paper: { title, arxiv }, formula, params }) => {
    const link = arxiv ? `, <a href="https://arxiv.org/abs/${e(arxiv)}">arXiv ${e(arxiv)}</a>` : "";
    const used = Object.entries(params).map(([name, param]) => {
      const said = `${e(name)} = ${written(param.value)}`;
      return isChanged(param) ? `<b>${said}</b> <small>default ${written(param.default)}</small>` : said;
    });
    return `<tr><th class="mono">${e(id)}</th><td class="left wrap">${e(title)}${link}</td><td class="left wrap mono">${e(formula)}</td>
<td class="left mono">${used.join("<br>") || "–"}</td></tr>`;
  });
  const head = ["recipe", "paper", "formula", "parameters as used"];
  return `<div class="scroll"><table class="recipes"><tr>${head.map((h) => `<th class="left">${h}</th>`).join("")}</tr>${rows.join("")}</table></div>`;
}

/** The keys of the configuration that differ between the recipes. */
function settingsTable(recipes: readonly ComparedRecipe[]): string {
  const paths = Object.keys(recipes[0]?.settings ?? {});
  if (paths.length === 0) {
    return '<p class="soft" style="margin-top:10px">All other settings are the same for every recipe.</p>';
  }
  const rows = paths.map((path) => {
    const cells = recipes.map(({ settings }) => `<td class="mono">${written(settings[path])}</td>`);
    return `<tr><th class="mono">${e(path)}</th>${cells.join("")}</tr>`;
  });
  const head = recipes.map(({ id }) => `<th>${e(id)}</th>`).join("");
  return `<h3>Settings that differ</h3><div class="scroll"><table><tr><th></th>${head}</tr>${rows.join("")}</table></div>`;
}

/** The page; all text is escaped. `config` is that of the first run, `compared` what comparedRecipes says of them all. */
export function comparisonReport(
  comparison: Comparison,
  config: TrainConfig,
  compared: readonly ComparedRecipe[],
): string {
  const { recipes, seeds, curves, outcomes } = comparison;
  const title = `${taskName(config)} · ${recipes.join(", ")}`;
  const derived = describeConfig(config);
  const banded = seeds.length >= FEW_SEEDS;
  const figures = Object.entries(curves).map(([key, each]) =>
    curvesFigure({
      title: CURVES[key as keyof typeof CURVES],
      series: recipes.map((name) => ({
        name,
        points: each[name].map(({ step, mean, low, high }) => ({ x: step, y: mean, ...(banded && { low, high }) })),
      })),
    }),
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
${derived.trajectoriesPerStep} trajectories, ${derived.optimizerSteps} optimiser steps</p>${legend(recipes)}</header>
${comparison.notes.map((note) => `<p>${e(note)}</p>`).join("")}<h2>Learning curves</h2><div class="grid2">${figures.join("")}</div>
<p class="soft" style="margin-top:10px">Lines: means over seeds. ${banded ? "Bands: 95 % intervals (Student's t)." : "Too few seeds for bands."}</p>
<h2>Outcomes</h2><div class="scroll"><table><tr><th></th>${recipes.map((r) => `<th>${e(r)}</th>`).join("")}</tr>${rows.join("")}</table></div>
<p class="soft" style="margin-top:10px">Means over seeds with 95 % intervals; differences from ${e(recipes[0])}, seed by seed.</p>
<h2>Recipes</h2>${recipesTable(compared)}${settingsTable(compared)}
<h2>Weights</h2><dl>${digests.join("")}</dl>
<h2>Configuration</h2><details><summary>config.json of the first run</summary><pre>${e(JSON.stringify(config, null, 2))}</pre></details>
</main></body></html>
`;
}
