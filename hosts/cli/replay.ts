/** @file `cohort replay`: recorded batches through any recipe, one JSON line a case. */

import { CohortError } from "../../core/errors.ts";
import { jsonLine } from "../../core/log.ts";
import { type Arguments, type Command, type Io, readJson } from "./command.ts";

export const replay: Command = {
  summary: "run recorded batches through their recipes, and compare with what must come out",
  help: `usage: cohort replay CASE.json… [--check]

Runs each case (system, params, batch, state) through the recipe it names and prints one line of JSON each:
{"system", "case", "outputs"} or {"system", "case", "error"}. A bad case does not stop the others.

  --check              compare with the case's "expected" within its "tolerance" (1e-5, relative above 1);
                       prints what differs, ends with exit code 1 on any miss
`,
  positionals: true,
  options: { check: { type: "boolean" }, json: { type: "boolean" } },
  run,
};

/** Numbers within the tolerance, relative above 1; of objects, the fields that are wanted. */
export function close(got: unknown, want: unknown, tolerance: number): boolean {
  if (typeof want === "number") {
    return typeof got === "number" && Math.abs(got - want) <= tolerance * Math.max(1, Math.abs(want));
  }
  if (Array.isArray(want)) {
    return Array.isArray(got) && got.length === want.length && want.every((w, i) => close(got[i], w, tolerance));
  }
  if (want !== null && typeof want === "object") {
    const have = got as Record<string, unknown> | null | undefined;
    return (
      have !== null && typeof have === "object" && Object.entries(want).every(([k, w]) => close(have[k], w, tolerance))
    );
  }
  return got === want;
}

interface Case {
  system?: unknown;
  case?: unknown;
  expected?: Record<string, unknown>;
  tolerance?: number;
}

async function run(args: Arguments, io: Io): Promise<number> {
  if (args.positionals.length === 0) {
    throw new CohortError("bad-input", "replay: no case", "name at least one CASE.json");
  }
  let failed = 0;
  let count = 0;
  for (const path of args.positionals) {
    let system: unknown = null;
    let name: unknown = path;
    count++;
    try {
      const input = (await readJson(io, path)) as Case;
      if (typeof input !== "object" || input === null || Array.isArray(input)) {
        throw new CohortError("bad-input", `${path}: not an object`, "write one case a file");
      }
      system = input.system ?? null;
      name = input.case ?? path;
      const { expected, ...given } = input;
      const answer = await io.replay(given);
      const misses = args.values.check
        ? Object.entries(expected ?? {})
            .filter(([key, want]) => !close(answer.outputs[key], want, input.tolerance ?? 1e-5))
            .map(([key, want]) => ({ output: key, got: answer.outputs[key] ?? null, want }))
        : [];
      if (args.values.check && expected === undefined) {
        throw new CohortError("bad-input", `${path}: nothing "expected" to check against`, "leave --check out");
      }
      io.out(
        jsonLine({
          ...answer,
          ...(args.values.check && { ok: misses.length === 0 }),
          ...(misses.length > 0 && { misses }),
        }),
      );
      if (misses.length > 0) failed++;
    } catch (error) {
      failed++;
      const message = error instanceof Error ? error.message : String(error);
      io.out(jsonLine({ system, case: name, error: message }));
      if (io.env.COHORT_DEBUG && error instanceof Error) io.err(`${error.stack}\n`);
    }
  }
  if (args.values.check) io.err(`cohort: ${count - failed} of ${count} cases right\n`);
  return failed > 0 ? 1 : 0;
}
