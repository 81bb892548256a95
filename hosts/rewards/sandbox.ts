/**
 * @file The outside of the sandbox: starts the worker, hands it one job at a time, ends it where it does not answer in time,
 * and when nothing is left to do. Node, browsers, Deno and Bun alike; the worker's script is one text (core/generated).
 */
import { CohortError } from "../../core/errors.ts";
import type { SandboxAnswer, SandboxJob } from "./sandbox-guest.ts";

export type { Outcome, SandboxAnswer, SandboxLimits } from "./sandbox-guest.ts";

/** What a worker of either kind is to this file. */
interface Guest {
  post(job: SandboxJob): void;
  /** keeps the process alive, where that can be chosen */
  hold(busy: boolean): void;
  end(): void;
}

type Listen = (message: SandboxAnswer | { ready: true }) => void;

async function startGuest(onMessage: Listen, onFailure: (reason: string) => void): Promise<Guest> {
  const { default: source } = await import("../../core/generated/sandbox.ts");
  const { process: node } = globalThis as { process?: { versions?: { node?: string } } };
  // Deno too: its web workers go on after terminate() while they are busy (denoland/deno#35657).
  if (node?.versions?.node && !("Bun" in globalThis)) return nodeGuest(source, onMessage, onFailure);
  const glue = "cohortSandbox.serve((m) => postMessage(m), (on) => { onmessage = (event) => on(event.data); });";
  const url = URL.createObjectURL(new Blob([`${source}\n${glue}`], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = (event) => {
    event.preventDefault();
    onFailure(event.message || "its script was refused (the Content-Security-Policy must allow worker-src blob:)");
  };
  return {
    post: (job) => worker.postMessage(job),
    hold() {},
    end() {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

async function nodeGuest(source: string, onMessage: Listen, onFailure: (reason: string) => void): Promise<Guest> {
  // Bundlers for pages shall not look for it.
  const name = "node:worker_threads";
  const { Worker } = (await import(
    /* @vite-ignore */ /* webpackIgnore: true */ name
  )) as typeof import("node:worker_threads");
  const glue = `const { parentPort } = require("node:worker_threads");
    cohortSandbox.serve((m) => parentPort.postMessage(m), (on) => parentPort.on("message", on));`;
  // No environment, and no more memory than the interpreter needs beside the programs' own heaps.
  const worker = new Worker(`${source}\n${glue}`, {
    eval: true,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
  worker.on("message", onMessage);
  worker.on("error", (error) => onFailure(error.message));
  return {
    post: (job) => worker.postMessage(job),
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    end: () => void worker.terminate(),
  };
}

/** Milliseconds without a job after which the worker is ended; a later job starts another. */
const IDLE = 1000;
/** Milliseconds in which the interpreter must be up. */
const START = 60_000;

/** One worker and its queue. */
class Sandbox {
  #guest: Guest | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #next = 0;
  #hear: Listen = () => {};
  #fail: (reason: string) => void = () => {};
  #idle: ReturnType<typeof setTimeout> | undefined;

  /**
   * The answer, or null where none came within `timeout` milliseconds of wall clock: the worker is ended then.
   * @throws CohortError("bad-reward") where no worker can be started
   */
  run(job: Omit<SandboxJob, "id">, timeout: number): Promise<SandboxAnswer | null> {
    this.#waiting++;
    clearTimeout(this.#idle);
    const answer = this.#queue.then(() => this.#one(job, timeout));
    this.#queue = answer
      .catch(() => undefined)
      .then(() => {
        if (--this.#waiting > 0) return;
        this.#idle = setTimeout(() => this.#end(), IDLE);
        // Browsers give a number; a process shall not wait for it.
        (this.#idle as { unref?(): void }).unref?.();
      });
    return answer;
  }

  async #one(job: Omit<SandboxJob, "id">, timeout: number): Promise<SandboxAnswer | null> {
    await this.#start();
    const guest = this.#guest!;
    const id = this.#next++;
    guest.hold(true);
    const answer = await new Promise<SandboxAnswer | null>((resolve) => {
      const limit = setTimeout(() => resolve(null), timeout);
      const done = (answer: SandboxAnswer | null) => {
        clearTimeout(limit);
        resolve(answer);
      };
      this.#hear = (message) => {
        if ("id" in message && message.id === id) done(message);
      };
      // The interpreter itself broke: as if it had not answered.
      this.#fail = () => done(null);
      guest.post({ ...job, id });
    });
    guest.hold(false);
    if (!answer) this.#end();
    return answer;
  }

  async #start(): Promise<void> {
    if (this.#guest) return;
    let limit: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        limit = setTimeout(() => reject(new Error(`it was not up within ${START / 1000} seconds`)), START);
        this.#hear = () => resolve();
        this.#fail = (reason) => reject(new Error(reason));
        startGuest(
          (message) => this.#hear(message),
          (reason) => this.#fail(reason),
        ).then((guest) => {
          this.#guest = guest;
        }, reject);
      });
    } catch (cause) {
      this.#end();
      throw new CohortError(
        "bad-reward",
        `runInSandbox: the worker cannot be started: ${cause instanceof Error ? cause.message : cause}`,
        "code rewards need workers: use another reward here",
        { cause },
      );
    } finally {
      clearTimeout(limit);
    }
  }

  #end(): void {
    this.#guest?.end();
    this.#guest = null;
  }
}

const sandbox = new Sandbox();

/**
 * Runs a program in QuickJS, then evaluates expressions in its global scope. Programs that run over a limit end with it.
 * @param timeout milliseconds of wall clock: a last resort for what is not counted as work; null is its answer
 */
export function runInSandbox(job: Omit<SandboxJob, "id">, timeout: number): Promise<SandboxAnswer | null> {
  return sandbox.run(job, timeout);
}
