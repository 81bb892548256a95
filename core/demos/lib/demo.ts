/**
 * @file Demonstrations: what a paper claims of its system against a baseline, measured at a small scale with the same
 * seeds and the same compute. A claim that does not hold is reported so.
 */
import { CohortError, nearest } from "../../errors.ts";
import { demoIds } from "../../generated/demo-ids.ts";
import { recipeIds } from "../../generated/recipe-ids.ts";
import type { Runtime } from "../../train.ts";
import { type Claim, type Compared, seedInterval, together, type Verdict } from "./verdict.ts";

/** A number of each arm and seed, and what is claimed of it; without a claim it is shown only. */
export interface Measure {
  /** the key under which `measure` gives it */
  name: string;
  claim?: Claim | readonly Claim[];
  /** the arm in the baseline's place */
  against?: string;
  /** the arm in the system's place */
  of?: string;
}

export type Numbers = Readonly<Record<string, number>>;

/** What demonstrations run on. */
export interface Lab {
  /** the device and storage of transformers; tabular demonstrations do without */
  runtime(): Promise<Runtime>;
}

export interface Demo {
  /** the recipe's id and the file's name */
  id: string;
  /** what the paper claims, one sentence */
  claim: string;
  /** policy, task and compute of both arms, one or two sentences */
  task: string;
  /** arm names as the table shows them */
  baseline: string;
  system: string;
  /** further arms, measured the same way */
  others?: readonly string[];
  /** default number of seeds, at least 5 */
  seeds: number;
  measures: readonly Measure[];
  /** Runs one arm with one seed: every measure by name, NaN where the arm does not have it. */
  measure(arm: string, seed: number, lab: Lab): Promise<Numbers>;
}

/** As given; its type is checked. */
export const defineDemo = (demo: Demo): Demo => demo;

export interface DemoRow extends Compared {
  measure: string;
  baselineArm: string;
  systemArm: string;
  /** null: shown only */
  claim: string | null;
  verdict: Verdict | null;
}

export interface DemoResult {
  id: string;
  claim: string;
  task: string;
  baseline: string;
  system: string;
  seeds: number[];
  rows: DemoRow[];
  verdict: Verdict;
  /** arm → one record of numbers a seed */
  runs: Record<string, Numbers[]>;
}

/** @throws CohortError "bad-input" with the nearest id */
export async function loadDemo(id: string): Promise<Demo> {
  if (!demoIds.includes(id)) {
    const known = recipeIds.includes(id);
    const guess = known ? undefined : nearest(id, demoIds);
    throw new CohortError(
      "bad-input",
      `loadDemo: there is no demonstration of '${id}'${known ? ", which is a recipe without one" : ""}`,
      guess ? `did you mean '${guess}'?` : `choose one of ${demoIds.join(", ")}`,
    );
  }
  return ((await import(`../${id}.ts`)) as { default: Demo }).default;
}

/**
 * Runs every arm with seeds 1, 2, … and compares.
 *
 * @param options.seeds default: the demonstration's; at least 2, for an interval
 * @throws CohortError "bad-input" for too few seeds, or a measure that an arm does not give
 */
export async function runDemo(
  demo: Demo,
  lab: Lab,
  options: { seeds?: number; onRun?(arm: string, seed: number): void } = {},
): Promise<DemoResult> {
  const count = options.seeds ?? demo.seeds;
  if (!Number.isInteger(count) || count < 2) {
    throw new CohortError("bad-input", `runDemo: seeds is ${count}`, "give at least 2: one seed has no interval");
  }
  const seeds = Array.from({ length: count }, (_, k) => k + 1);
  const runs: Record<string, Numbers[]> = {};
  for (const arm of [demo.baseline, demo.system, ...(demo.others ?? [])]) {
    runs[arm] = [];
    for (const seed of seeds) {
      options.onRun?.(arm, seed);
      runs[arm].push(await demo.measure(arm, seed, lab));
    }
  }
  const rows = demo.measures.map((m) => compare(demo, m, runs));
  return {
    id: demo.id,
    claim: demo.claim,
    task: demo.task,
    baseline: demo.baseline,
    system: demo.system,
    seeds,
    rows,
    verdict: together(rows.flatMap((r) => (r.verdict ? [r.verdict] : []))),
    runs,
  };
}

function compare(demo: Demo, { name, claim, against, of }: Measure, runs: DemoResult["runs"]): DemoRow {
  const [baselineArm, systemArm] = [against ?? demo.baseline, of ?? demo.system];
  const values = (arm: string): number[] =>
    runs[arm].map((numbers) => {
      if (name in numbers) return numbers[name];
      throw new CohortError(
        "bad-input",
        `demo ${demo.id}: ${arm} does not give '${name}'`,
        "give NaN where it has none",
      );
    });
  const [a, b] = [values(baselineArm), values(systemArm)];
  const compared = {
    baseline: seedInterval(a),
    system: seedInterval(b),
    difference: seedInterval(b.map((x, k) => x - a[k])),
  };
  const claims = claim === undefined ? [] : [claim].flat();
  return {
    measure: name,
    baselineArm,
    systemArm,
    ...compared,
    claim: claims.length > 0 ? claims.map((c) => c.text).join(", ") : null,
    verdict: claims.length > 0 ? together(claims.map((c) => c.verdict(compared))) : null,
  };
}
