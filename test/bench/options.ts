/** @file The bench's command line. */
import { parseArgs } from "node:util";
import { CohortError, nearest } from "../../core/errors.ts";

export interface Options {
  readonly help: boolean;
  readonly json: boolean;
  /** Sections to measure, by id; none: all but `curves`. */
  readonly sections: readonly string[];
  /** Figures whose name holds it. */
  readonly only: string | null;
  readonly rounds: number;
  readonly hardware: boolean;
  readonly processorTime: boolean;
}

const flags = {
  help: { type: "boolean", short: "h", what: "print this" },
  json: { type: "boolean", what: "print a line of JSON a figure instead of a table" },
  only: { type: "string", value: "TEXT", what: "measure the figures whose name holds TEXT" },
  rounds: { type: "string", value: "N", what: "measured rounds, after one that warms up (default 7)" },
  list: { type: "boolean", what: "print the figures' names and measure nothing" },
  hardware: { type: "boolean", what: "WebGPU on the machine's own adapter in place of SwiftShader" },
  "processor-time": {
    type: "boolean",
    what: "one thread, by processor time: for machines that others work on too",
  },
} as const;

/** What `--help` prints. */
export function help(sections: readonly { readonly id: string; readonly what: string }[]): string {
  const row = (name: string, what: string) => `  ${name.padEnd(20)}${what}`;
  return [
    "npm run bench [-- SECTION …] [-- FLAG …]: ours and every peer take turns in each round; medians, with the spread",
    "",
    "Sections (default: all but curves)",
    ...sections.map(({ id, what }) => row(id, what)),
    "",
    "Flags",
    ...Object.entries(flags).map(([name, flag]) =>
      row(`--${name}${"value" in flag ? ` ${flag.value}` : ""}`, flag.what),
    ),
    "",
    "Peers are optional: npm install --prefix test/bench --no-package-lock; PyTorch: apt-get install python3-torch",
  ].join("\n");
}

/** @throws CohortError "bad-input" for what is no flag, section or number, with the nearest name */
export function parseOptions(argv: readonly string[], sections: readonly string[]): Options & { list: boolean } {
  const refuse = (message: string, name: string, candidates: readonly string[]) => {
    const near = nearest(name, candidates);
    const remedy = near ? `did you mean ${near}?` : "npm run bench -- --help lists what there is";
    return new CohortError("bad-input", `bench: ${message}`, remedy);
  };
  const { tokens } = parseArgs({ args: [...argv], options: flags, strict: false, tokens: true });
  const given: Record<string, string | true> = {};
  const asked: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") {
      if (!sections.includes(token.value)) throw refuse(`no section "${token.value}"`, token.value, sections);
      asked.push(token.value);
    } else if (token.kind === "option") {
      const { name, rawName } = token;
      // `--only --json` forgets the value.
      const value = token.inlineValue || !token.value?.startsWith("--") ? token.value : undefined;
      if (!Object.hasOwn(flags, name)) {
        const names = Object.keys(flags).map((flag) => `--${flag}`);
        throw refuse(`unknown flag "${rawName}"`, rawName, names);
      }
      const takes = flags[name as keyof typeof flags].type === "string";
      if (takes !== (value !== undefined)) {
        const message = takes ? `--${name} without a value` : `--${name} takes no value, got "${value}"`;
        throw new CohortError("bad-input", `bench: ${message}`, takes ? `write --${name} VALUE` : "leave it out");
      }
      given[name] = value ?? true;
    }
  }
  const rounds = given.rounds === undefined ? 7 : Number(given.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new CohortError("bad-input", `bench: --rounds is "${given.rounds}"`, "give a whole number from 1 on");
  }
  return {
    help: given.help === true,
    json: given.json === true,
    list: given.list === true,
    sections: asked,
    only: given.only === undefined ? null : String(given.only),
    rounds,
    hardware: given.hardware === true,
    processorTime: given["processor-time"] === true,
  };
}
