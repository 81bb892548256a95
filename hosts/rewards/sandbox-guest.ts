/**
 * @file The inside of the sandbox: QuickJS in a worker of its own. hosts/build.mjs bundles this file with the interpreter into
 * one text (core/generated/sandbox.ts), which hosts/rewards/sandbox.ts starts. Untrusted code gets a runtime of its own with
 * no host object in it: no network, files, timers, modules; its clock stands still and its random numbers are the same ones
 * each time, so that a reward is a function of the completion.
 *
 * Work is counted, not timed: QuickJS calls back every 10,000 loop rounds and calls, the same number on every machine. What
 * does not count (a library function over a huge range) is ended by the other side, which ends the whole worker.
 */
import base from "@jitl/quickjs-wasmfile-release-sync";
import wasm from "@jitl/quickjs-wasmfile-release-sync/wasm";
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSWASMModule,
} from "quickjs-emscripten-core";

export interface SandboxLimits {
  /** tens of thousands of loop rounds and calls, for the program and for each expression */
  work: number;
  /** bytes beyond the interpreter's first 16 MB */
  memory: number;
  /** characters of one result */
  output: number;
}

export interface SandboxJob extends SandboxLimits {
  id: number;
  program: string;
  /** evaluated one after the other in the program's global scope */
  expressions: readonly string[];
}

/** A value as JSON (undefined, NaN, … as their names in `special`), or why there is none. */
export type Outcome =
  | { json: string }
  | { special: string }
  | { error: "work" | "memory" | "output" | "thrown"; message: string };

export interface SandboxAnswer {
  id: number;
  program: Outcome;
  /** none where the program failed */
  expressions: readonly Outcome[];
}

/** Runs first, with everything still as QuickJS made it; its value encodes results with functions of its own. */
const PRELUDE = `(() => {
  let state = 1;
  Math.random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const Clock = Date;
  globalThis.Date = new Proxy(Clock, {
    construct: (_, args) => new Clock(...(args.length === 0 ? [0] : args)),
    apply: () => new Clock(0).toString(),
    get: (target, key) => (key === "now" ? () => 0 : target[key]),
  });
  Clock.prototype.constructor = globalThis.Date;
  const { stringify } = JSON;
  return (value, most) => {
    if (typeof value === "bigint") return "s" + value;
    if (typeof value === "number" && !(value - value === 0)) return "s" + value;
    const text = stringify(value);
    if (text === undefined) return "s" + typeof value;
    return text.length > most ? "o" : "j" + text;
  };
})()`;

function reasonOf(text: string): "work" | "memory" | "thrown" {
  if (/^InternalError: interrupted/.test(text)) return "work";
  return /^InternalError: (out of memory|stack overflow)/.test(text) ? "memory" : "thrown";
}

const PAGE = 65536;
/** What the interpreter is built to begin with. */
const FIRST_PAGES = 256;

/** Turns of promises after a program or expression; one that wants more waits for nothing that comes. */
const MOST_TURNS = 10_000;

class Run {
  readonly runtime: QuickJSRuntime;
  readonly context: QuickJSContext;
  readonly #encode: QuickJSHandle;
  readonly #limits: SandboxLimits;
  #work = 0;

  constructor(quickjs: QuickJSWASMModule, limits: SandboxLimits) {
    this.#limits = limits;
    this.runtime = quickjs.newRuntime();
    this.runtime.setMaxStackSize(256 * 1024);
    this.runtime.setInterruptHandler(() => ++this.#work > limits.work);
    this.context = this.runtime.newContext();
    this.#encode = this.context.unwrapResult(this.context.evalCode(PRELUDE));
  }

  outcome(code: string, name: string): Outcome {
    this.#work = 0;
    const result = this.context.evalCode(code, name, { type: "global" });
    if (result.error) return this.#failure(result.error);
    return this.#value(result.value);
  }

  #value(value: QuickJSHandle): Outcome {
    const { context } = this;
    // An async function's result, where it comes without anything from outside.
    this.runtime.executePendingJobs(MOST_TURNS);
    const state = context.getPromiseState(value);
    if (state.type === "rejected") {
      value.dispose();
      return this.#failure(state.error);
    }
    if (state.type === "pending") {
      value.dispose();
      return { error: "thrown", message: "a promise that nothing settles" };
    }
    const given = state.notAPromise ? value : state.value;
    const most = context.newNumber(this.#limits.output);
    const encoded = context.callFunction(this.#encode, context.undefined, given, most);
    most.dispose();
    if (!state.notAPromise) given.dispose();
    value.dispose();
    if (encoded.error) return this.#failure(encoded.error);
    const text = context.getString(encoded.value);
    encoded.value.dispose();
    if (text === "o") return { error: "output", message: `more than ${this.#limits.output} characters` };
    return text.startsWith("j") ? { json: text.slice(1) } : { special: text.slice(1) };
  }

  /** @returns false where something of the program is left */
  close(): boolean {
    try {
      this.#encode.dispose();
      this.context.dispose();
      this.runtime.dispose();
      return true;
    } catch {
      return false;
    }
  }

  /** Of an error only name and message, as plain properties, cut short: its own toString may do anything. */
  #failure(error: QuickJSHandle): Outcome {
    const { context } = this;
    this.#work = 0;
    const part = (name: string) => {
      const handle = context.getProp(error, name);
      const text = context.typeof(handle) === "string" ? context.getString(handle).slice(0, 200) : "";
      handle.dispose();
      return text;
    };
    let message = "";
    try {
      message = context.typeof(error) === "object" ? `${part("name")}: ${part("message")}` : "a value was thrown";
    } catch {
      // A getter that throws.
      message = "an error that cannot be read";
    }
    error.dispose();
    return { error: reasonOf(message), message };
  }
}

/**
 * Answers jobs, one after the other. A program that leaves something behind, or filled its heap, takes its interpreter with
 * it: the next one gets another.
 */
export function serve(
  post: (answer: SandboxAnswer | { ready: true }) => void,
  listen: (on: (job: SandboxJob) => void) => void,
) {
  const compiled = WebAssembly.compile(wasm as Uint8Array<ArrayBuffer>);
  // What the interpreter says of its own end is for nobody.
  const quiet = { print() {}, printErr() {} } as object;
  let held: { interpreter: QuickJSWASMModule; heap: WebAssembly.Memory; limit: number } | null = null;
  // QuickJS's own limit counts nothing in this build: the memory that WebAssembly lets it have is the limit.
  const start = async (limit: number) => {
    const heap = new WebAssembly.Memory({
      initial: FIRST_PAGES,
      maximum: Math.min(32768, FIRST_PAGES + Math.ceil(limit / PAGE)),
    });
    const variant = newVariant(base, { wasmModule: await compiled, wasmMemory: heap, emscriptenModule: quiet });
    return { interpreter: await newQuickJSWASMModuleFromVariant(variant), heap, limit };
  };
  listen(async ({ id, program, expressions, ...limits }) => {
    if (held?.limit !== limits.memory) held = null;
    held ??= await start(limits.memory);
    const run = new Run(held.interpreter, limits);
    const own = run.outcome(program, "program");
    const outcomes = "error" in own ? [] : expressions.map((code, i) => run.outcome(code, `test ${i + 1}`));
    if (!run.close() || held.heap.buffer.byteLength > FIRST_PAGES * PAGE) held = null;
    post({ id, program: own, expressions: outcomes });
  });
  compiled.then(() => post({ ready: true }));
}
