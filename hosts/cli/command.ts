/** @file What a command is, what it may touch, and how its arguments are read. */

import { type ParseArgsConfig, parseArgs } from "node:util";
import type { DeviceOptions, Engine } from "../../core/api.ts";
import { MAX_THREADS, type TrainConfig } from "../../core/config.ts";
import { CohortError, nearest } from "../../core/errors.ts";
import { readText, type Storage } from "../../core/host.ts";
import type { DataKind } from "../../core/recipe.ts";
import type { ReportRecipe } from "../../core/report.ts";

/** What `cohort list` shows of a recipe. */
export interface RecipeInfo extends ReportRecipe {
  readonly paper?: { readonly title: string; readonly arxiv?: string; readonly source?: string };
  readonly stage?: string | readonly string[];
  readonly option?: boolean;
  readonly trains?: {
    readonly refuse?: string;
    readonly data?: DataKind;
    readonly teacher?: true;
    readonly keys?: readonly string[];
  };
  readonly params?: Readonly<
    Record<
      string,
      {
        readonly default?: unknown;
        readonly min?: number;
        readonly max?: number;
        readonly choices?: readonly string[];
        readonly nullable?: boolean;
        readonly doc?: string;
      }
    >
  >;
}

/** The outside world as a command sees it; tests hand in their own. */
export interface Io {
  /** standard output, without a line end of its own */
  out(text: string): void;
  err(text: string): void;
  /** true where standard output is a terminal */
  readonly terminal: boolean;
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly storage: Storage;
  /** milliseconds, for rates and estimates shown to people */
  now(): number;
  /** calls back at the first Ctrl-C; the function returned stops listening */
  onInterrupt(callback: () => void): () => void;
  /** loaded when a command needs it: help, list and replay work without a device */
  engine(options: DeviceOptions): Promise<Engine>;
  replay(input: unknown): Promise<{ system: string; case: string; outputs: Record<string, unknown> }>;
  recipeIds(): Promise<readonly string[]>;
  recipe(id: string): Promise<RecipeInfo>;
  /** name and version of the runtime, for reports */
  readonly runtime: string;
}

export interface Arguments {
  values: Record<string, string | boolean | string[] | undefined>;
  positionals: string[];
}

export interface Command {
  readonly summary: string;
  readonly help: string;
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  /** takes words that are no options */
  readonly positionals?: true;
  /** @returns the exit code */
  run(args: Arguments, io: Io): Promise<number>;
}

/**
 * Joins `--seed -1` to `--seed=-1`, so that the option itself says what it wants.
 * @throws CohortError("bad-input") where an option that needs a value has none, or one that reads like an option
 */
function joinValues(name: string, options: Command["options"], argv: readonly string[]): string[] {
  const joined: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (word === "--") return [...joined, ...argv.slice(i)];
    joined.push(word);
    const option = word.startsWith("--") && Object.hasOwn(options, word.slice(2)) ? options[word.slice(2)] : undefined;
    if (option?.type !== "string") continue;
    const value = argv[++i];
    if (value === undefined) {
      throw new CohortError("bad-input", `${name}: ${word} has no value`, `give one; see cohort ${name} --help`);
    }
    if (/^-[.\d]/.test(value)) joined[joined.length - 1] = `${word}=${value}`;
    else if (value.length > 1 && value.startsWith("-")) {
      throw new CohortError(
        "bad-input",
        `${name}: ${word} ${value}: no value, as ${value} reads like an option`,
        `give a value before it, or write ${word}=${value} if it is the value`,
      );
    } else joined.push(value);
  }
  return joined;
}

/**
 * Reads a command's arguments.
 * @throws CohortError("bad-input") naming the unknown option and the nearest right one, the option without its value, or
 *   the word that the command has no use for
 */
export function readArguments(name: string, command: Command, argv: readonly string[]): Arguments {
  const args = joinValues(name, command.options, argv);
  try {
    const { values, positionals } = parseArgs({ args, options: command.options, allowPositionals: true, strict: true });
    if (positionals.length > 0 && !command.positionals) {
      throw new CohortError(
        "bad-input",
        `${name}: "${positionals[0]}" is no option, and ${name} takes nothing else`,
        `leave it out; see cohort ${name} --help`,
      );
    }
    return { values: { ...values } as Arguments["values"], positionals };
  } catch (cause) {
    if (cause instanceof CohortError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    const unknown = /Unknown option '(-{1,2}[^']*)'/.exec(message)?.[1];
    if (unknown) {
      const near = nearest(
        unknown,
        Object.keys(command.options).map((o) => `--${o}`),
      );
      const hint = near ? `did you mean ${near}? ` : "";
      throw new CohortError("bad-input", `${name}: unknown option ${unknown}`, `${hint}see cohort ${name} --help`);
    }
    throw new CohortError("bad-input", `${name}: ${message.split("\n")[0]}`, `see cohort ${name} --help`, { cause });
  }
}

/** A number option in a range. @param rule.or the word that may stand in its place, for the message */
export function numberOption(
  args: Arguments,
  name: string,
  rule: { min: number; max?: number; whole?: boolean; or?: string },
): number | undefined {
  const given = args.values[name];
  if (given === undefined) return undefined;
  const value = typeof given === "string" && given.trim() !== "" ? Number(given) : Number.NaN;
  const max = rule.max ?? Number.POSITIVE_INFINITY;
  if (!(value >= rule.min && value <= max) || (rule.whole && !Number.isInteger(value)) || !Number.isFinite(value)) {
    const kind = rule.whole ? "a whole number" : "a number";
    const range = max < Number.POSITIVE_INFINITY ? `from ${rule.min} to ${max}` : `of at least ${rule.min}`;
    throw new CohortError(
      "bad-input",
      `--${name} ${JSON.stringify(given)}`,
      `give ${rule.or ? `${rule.or} or ` : ""}${kind} ${range}`,
    );
  }
  return value;
}

export function textOption(args: Arguments, name: string): string | undefined {
  const value = args.values[name];
  return typeof value === "string" ? value : undefined;
}

/** --threads, --backend, --adapter, --precision. */
export const deviceOptions = {
  threads: { type: "string" },
  backend: { type: "string" },
  adapter: { type: "string" },
  precision: { type: "string" },
} as const;

export const deviceHelp = `  --threads N          worker threads, at most ${MAX_THREADS} (default: auto, the cores up to 8; changes no number)
  --backend NAME       auto, wasm or webgpu
  --adapter NAME       the WebGPU adapter with this in its name; not with --backend wasm
  --precision P        12, 24 or fast: significant bits of matmul operands`;

export function readDeviceOptions(args: Arguments): DeviceOptions {
  const threads =
    textOption(args, "threads") === "auto"
      ? "auto"
      : numberOption(args, "threads", { min: 1, max: MAX_THREADS, whole: true, or: "auto" });
  const pick = <T extends string>(name: string, allowed: readonly T[]): T | undefined => {
    const value = textOption(args, name);
    if (value === undefined) return undefined;
    if (allowed.includes(value as T)) return value as T;
    throw new CohortError("bad-input", `--${name} ${JSON.stringify(value)}`, `give one of ${allowed.join(", ")}`);
  };
  const precision = pick("precision", ["12", "24", "fast"]);
  const backend = pick("backend", ["auto", "wasm", "webgpu"]);
  const adapter = textOption(args, "adapter");
  if (backend === "wasm" && adapter !== undefined) {
    throw new CohortError(
      "bad-input",
      `--adapter ${JSON.stringify(adapter)}: --backend wasm uses no adapter`,
      "leave one of the two out, or use --backend webgpu",
    );
  }
  return {
    ...(threads !== undefined && { threads }),
    ...(backend !== undefined && { backend }),
    ...(adapter !== undefined && { adapter }),
    ...(precision !== undefined && { precision: precision === "fast" ? precision : (Number(precision) as 12 | 24) }),
  };
}

/** What a configuration says of the device. */
export function deviceOf({ threads, backend, adapter, precision }: TrainConfig): DeviceOptions {
  return { threads, backend, precision, ...(adapter !== null && { adapter }) };
}

/** A JSON file; malformed JSON is reported with its place. */
export async function readJson(io: Io, path: string): Promise<unknown> {
  const text = await readText(io.storage, path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const at = /position (\d+)/.exec(reason)?.[1];
    const line = at === undefined ? "" : `, line ${text.slice(0, Number(at)).split("\n").length}`;
    throw new CohortError("bad-input", `${path}${line}: not JSON: ${reason}`, "correct the file", { cause });
  }
}

/** The folder of a path, absolute, with '/' between names. */
export function folderOf(io: Io, path: string): string {
  const whole = absolute(io, path);
  return whole.slice(0, Math.max(1, whole.lastIndexOf("/")));
}

export function absolute(io: Io, path: string): string {
  const forward = path.replaceAll("\\", "/");
  return /^(\/|[A-Za-z]:\/)/.test(forward) ? forward : `${io.cwd.replaceAll("\\", "/").replace(/\/$/, "")}/${forward}`;
}
