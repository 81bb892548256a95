/**
 * @file The bench's harness: figures with all their sides measured in turns, medians with spread, ratios against the peers
 * and against what the project asks of itself; a table or JSON lines.
 */
import { CohortError, nearest } from "../../core/errors.ts";
import type { Options } from "./options.ts";

export type Measure = () => Promise<number>;

/** What a figure should be at least. */
export interface Targets {
  /** The value itself. */
  readonly value?: number;
  /** The ratio against the best of the peers. */
  readonly best?: number;
  /** The ratio against one of the sides. */
  readonly sides?: Readonly<Record<string, number>>;
}

export interface Extra {
  readonly targets?: Targets;
  /** Peers that were not measured, and why. */
  readonly leftOut?: Readonly<Record<string, string>>;
  /** The device, where names of figures do not tell it. */
  readonly on?: string;
}

export type Figure = (
  name: string,
  unit: string,
  measure: Measure,
  peers?: Record<string, Measure>,
  extra?: Extra,
) => Promise<void>;

export interface Section {
  readonly id: string;
  readonly what: string;
  /** Names of its figures, before anything is loaded. */
  names(options: Options): string[];
  /** @param wanted whether a figure will be measured; what only others need may be left out */
  run(figure: Figure, options: Options, wanted: (name: string) => boolean): Promise<void>;
}

/** A line of `--json`. */
export interface Result {
  name: string;
  unit: string;
  /** median */
  ours: number;
  spread: [number, number];
  peers: Record<string, number>;
  spreads: Record<string, [number, number]>;
  /** Ours against the best of the peers, above 1 where ours is better; our own variants ("ours, …") do not count. */
  ratio: number | null;
  /** Ours against each side. */
  ratios: Record<string, number>;
  targets: { of: string; target: number; value: number; met: boolean }[];
  leftOut: Record<string, string>;
  on?: string;
}

/** A side that has taken so many seconds, and has been measured three times, is left out of further rounds. */
const PATIENCE = 60;

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const ends = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];

/** Ours and every peer take turns in each round, so that a noisy neighbour meets all of them. The first round warms up. */
export async function measureFigure(
  rounds: number,
  name: string,
  unit: string,
  measure: Measure,
  peers: Record<string, Measure> = {},
  { targets = {}, leftOut = {}, on }: Extra = {},
): Promise<Result> {
  const absent: Record<string, string> = { ...leftOut };
  const sides = Object.entries({ ours: measure, ...peers }).map(([side, work]) => ({
    side,
    work,
    seen: [] as number[],
    took: 0,
  }));
  for (let r = 0; r <= rounds; r++) {
    for (const s of sides) {
      if (absent[s.side] || (s.seen.length >= 3 && s.took > PATIENCE)) continue;
      const t0 = performance.now();
      try {
        const value = await s.work();
        if (r > 0) s.seen.push(value);
      } catch (error) {
        if (s.side.startsWith("ours")) throw error;
        absent[s.side] = `failed: ${error instanceof Error ? error.message : error}`;
      }
      s.took += (performance.now() - t0) / 1000;
    }
  }
  const [own, ...others] = sides.filter(({ side }) => !absent[side]);
  const lessIsBetter = unit === "ms" || unit === "s";
  const ours = median(own.seen);
  const ratioTo = (value: number) => (lessIsBetter ? value / ours : ours / value);
  const ratios = Object.fromEntries(others.map(({ side, seen }) => [side, ratioTo(median(seen))]));
  const foreign = Object.keys(ratios).filter((side) => !side.startsWith("ours"));
  const ratio = foreign.length > 0 ? Math.min(...foreign.map((side) => ratios[side])) : null;
  const goals: Result["targets"] = [];
  const goal = (of: string, target: number | undefined, value: number | null | undefined) => {
    if (target !== undefined && value != null) goals.push({ of, target, value, met: value >= target });
  };
  goal("value", targets.value, ours);
  goal("best of the peers", targets.best, ratio);
  for (const [side, target] of Object.entries(targets.sides ?? {})) goal(side, target, ratios[side]);
  return {
    name,
    unit,
    ours,
    spread: ends(own.seen),
    peers: Object.fromEntries(others.map(({ side, seen }) => [side, median(seen)])),
    spreads: Object.fromEntries(others.map(({ side, seen }) => [side, ends(seen)])),
    ratio,
    ratios,
    targets: goals,
    leftOut: absent,
    ...(on && { on }),
  };
}

const number = (x: number) => (x >= 100 ? x.toFixed(0) : x.toFixed(2)).padStart(10);
const brief = (x: number) => Number(x.toPrecision(3));
const verdict = ({ target, met }: { target: number; met: boolean }) =>
  ` [at least ${brief(target)}: ${met ? "met" : "missed"}]`;

/** A figure as lines of the table. */
export function table(f: Result): string[] {
  const goals = new Map(f.targets.map((t) => [t.of, verdict(t)]));
  const line = (label: string, value: number, [least, most]: [number, number], rest: string) =>
    `${label.padEnd(64)}${number(value)} ${f.unit.padEnd(10)} (${number(least)} …${number(most)})${rest}`;
  const own = Object.keys(f.peers).filter((side) => side.startsWith("ours"));
  const best = f.ratio !== null && goals.has("best of the peers") ? `  ${f.ratio.toFixed(2)} × the best peer` : "";
  const lines = [
    line(f.on ? `${f.name}, ${f.on}` : f.name, f.ours, f.spread, `${goals.get("value") ?? ""}${best}`) +
      (goals.get("best of the peers") ?? ""),
  ];
  for (const [side, value] of Object.entries(f.peers)) {
    // Each of our variants against each peer too: on one thread, for one.
    const variants = side.startsWith("ours")
      ? []
      : own.map((o) => `${o}: ${(f.ratios[side] / f.ratios[o]).toFixed(2)} ×`);
    const rest = variants.length > 0 ? ` (${variants.join("; ")})` : "";
    const times = `  ours is ${f.ratios[side].toFixed(2)} × as fast${rest}${goals.get(side) ?? ""}`;
    lines.push(line(`    ${side}`, value, f.spreads[side], times));
  }
  for (const [side, why] of Object.entries(f.leftOut)) lines.push(`    ${side}: left out: ${why}`);
  return lines;
}

/** The sections' figures that the options ask for. */
export function plan(sections: readonly Section[], options: Options): Map<Section, string[]> {
  const asked = sections.filter(({ id }) => options.sections.length === 0 || options.sections.includes(id));
  const all = asked.map((section): [Section, string[]] => [section, section.names(options)]);
  const { only } = options;
  if (only === null) return new Map(all);
  const chosen = new Map(
    all
      .map(([section, names]): [Section, string[]] => [section, names.filter((name) => name.includes(only))])
      .filter(([, names]) => names.length > 0),
  );
  if (chosen.size === 0) {
    const names = all.flatMap(([, list]) => list);
    const near =
      names.find((name) => name.toLowerCase().includes(only.toLowerCase())) ??
      nearest(only, names) ??
      nearest(
        only,
        names.flatMap((name) => name.split(/[ ,]+/)),
      );
    throw new CohortError(
      "bad-input",
      `bench: --only "${only}" is in no figure's name`,
      near ? `did you mean "${near}"?` : "npm run bench -- --list prints the names",
    );
  }
  return chosen;
}

/** Measures what was planned and prints each figure as it comes. */
export async function bench(
  sections: readonly Section[],
  options: Options,
  print: (line: string) => void = console.log,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [section, names] of plan(sections, options)) {
    const all = new Set(section.names(options));
    const wanted = (name: string) => names.includes(name);
    const figure: Figure = async (name, unit, measure, peers, extra) => {
      if (!all.has(name)) throw new Error(`bench: section ${section.id} does not name its figure "${name}"`);
      if (!wanted(name)) return;
      const result = await measureFigure(options.rounds, name, unit, measure, peers, extra);
      results.push(result);
      if (options.json) print(JSON.stringify(result));
      else for (const line of table(result)) print(line);
    };
    await section.run(figure, options, wanted);
  }
  const goals = results.flatMap((r) => r.targets.map((t) => ({ name: r.name, ...t })));
  if (!options.json && goals.length > 0) {
    print("");
    print(`Targets met: ${goals.filter((g) => g.met).length} of ${goals.length}`);
    for (const { name, of, target, value } of goals.filter((g) => !g.met)) {
      print(
        `    missed: ${name}${of === "value" ? "" : ` against ${of}`}: ${value.toFixed(2)}, at least ${brief(target)} asked`,
      );
    }
  }
  return results;
}
