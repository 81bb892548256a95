/** @file Evaluations as text for people and as JSON for programs. */

import type { EvalResult } from "../../core/evaluate.ts";
import { dataKeys } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import { table } from "./status.ts";

const percent = (x: number | undefined) => (x === undefined ? "–" : `${(100 * x).toFixed(1)} %`);

function estimates(results: readonly EvalResult[]): string[] {
  const names = new Set(results.flatMap((r) => Object.keys(r)).filter((k) => /^(pass|maj)@\d+$/.test(k)));
  const order = (name: string) => (name.startsWith("pass") ? 0 : 1e6) + Number(name.split("@")[1]);
  return [...names].sort((a, b) => order(a) - order(b));
}

/** What evaluations on a data set measured. */
function measured(results: readonly EvalResult[]): (typeof dataKeys)[number][] {
  return dataKeys.filter((name) => results.some((r) => typeof r.metrics?.[name] === "number"));
}

/** An evaluation in one line. */
export function evaluationLine(result: EvalResult): string {
  const numbers = estimates([result]).map((name) => `${name} ${percent(result[name as "pass@1"])}`);
  if (!result.metrics) return [...numbers, `reward ${formatNumber(result.reward)}`].join(" · ");
  const { metrics } = result;
  return measured([result])
    .map((name) => `${name} ${formatNumber(metrics[name])}`)
    .join(" · ");
}

/** Without the sample texts. */
export function evaluationJson(result: EvalResult | null): Omit<EvalResult, "samples"> | null {
  if (result === null) return null;
  const { samples: _, ...numbers } = result;
  return numbers;
}

/** One column an evaluation: pass@k, maj@k, reward, length, or what a data set measures; with intervals where there is one column. */
export function evaluationTable(columns: readonly (readonly [title: string, result: EvalResult])[]): string {
  const results = columns.map(([, r]) => r);
  const cell = (r: EvalResult, name: string) => {
    const value = percent(r[name as "pass@1"]);
    const interval = r[`${name}/interval` as "pass@1/interval"];
    return columns.length > 1 || !interval ? value : `${value}  (${percent(interval[0])} – ${percent(interval[1])})`;
  };
  return table([
    ["", ...columns.map(([title]) => title)],
    ...estimates(results).map((name) => [name, ...results.map((r) => cell(r, name))]),
    ...measured(results).map((name) => [name, ...results.map((r) => formatNumber(r.metrics?.[name]))]),
    ...(results.every((r) => r.metrics) ? [] : [["reward", ...results.map((r) => formatNumber(r.reward))]]),
    ["tokens", ...results.map((r) => formatNumber(r["completions/mean_length"]))],
  ]);
}

const quote = (text: string, room: number) => {
  const line = text.replaceAll("\n", "⏎");
  return line.length > room ? `${line.slice(0, room)}…` : line;
};

/** Some completions of the same prompts, one below the other; short ones on one line. */
export function samplesText(before: EvalResult | null, after: EvalResult | null, count = 4): string {
  const firsts = (after ?? before)?.samples ?? [];
  return firsts
    .slice(0, count)
    .map((sample) => {
      const old = before?.samples.find((s) => s.prompt === sample.prompt);
      const show = (s: { completion: string; reward: number | null }) =>
        `${quote(s.completion, 300)}   [reward ${formatNumber(s.reward)}]`;
      return [
        `  ${quote(sample.prompt, 200)}`,
        ...(old ? [`    before  ${show(old)}`] : []),
        ...(after ? [`    after   ${show(sample)}`] : []),
      ].join("\n");
    })
    .join("\n");
}
