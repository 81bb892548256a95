/** @file The person's reward functions, as the engine calls them; broken ones are told in words with their line. */
import { javascriptLanguage } from "@codemirror/lang-javascript";
import { CohortError } from "../../core/errors.ts";
import type { RewardFunction } from "../../core/rewards/index.ts";
import { join, type Port } from "../port.ts";
import type { RewardOffers } from "./reward-worker.ts";

/** A worker that does not answer for so long is in a loop; waiting for a network answers. */
const SILENCE = 3000;
const LOOK = 500;

/** Where the first thing that is no JavaScript stands: from 0, or -1. */
export function syntaxFault(source: string): number {
  let at = -1;
  javascriptLanguage.parser.parse(source).iterate({
    enter(node) {
      if (node.type.isError && at < 0) at = node.from;
    },
  });
  return at;
}

const lineOf = (source: string, at: number) => source.slice(0, at).split("\n").length;

export class Rewards {
  readonly names: readonly string[];
  readonly #worker: Worker;
  readonly #port: Port<RewardOffers>;
  #watch = 0;
  #open = 0;

  private constructor(names: readonly string[], worker: Worker, port: Port<RewardOffers>) {
    this.names = names;
    this.#worker = worker;
    this.#port = port;
  }

  /** @throws CohortError "bad-reward" where the module cannot be loaded, with the line where it is known */
  static async load(source: string): Promise<Rewards> {
    const worker = new Worker(new URL("./reward-worker.js", import.meta.url), { type: "module" });
    const port = join<RewardOffers>(worker, {});
    worker.addEventListener("error", (event) => port.fail(new Error(event.message || "it cannot be loaded")));
    const rewards = new Rewards([], worker, port);
    try {
      const names = await rewards.#watched(() => port.call("load", source));
      return Object.assign(rewards, { names });
    } catch (error) {
      rewards.close();
      if (error instanceof CohortError) throw error;
      const at = syntaxFault(source);
      const line = at < 0 ? "" : `, line ${lineOf(source, at)}`;
      throw new CohortError(
        "bad-reward",
        `reward${line}: ${(error as Error).message}`,
        "correct it; nothing runs before",
      );
    }
  }

  /** By name; each call goes to the worker. */
  get functions(): Record<string, RewardFunction> {
    return Object.fromEntries(
      this.names.map((name) => [name, (sample) => this.#watched(() => this.#port.call("score", name, sample))]),
    );
  }

  close(): void {
    clearInterval(this.#watch);
    this.#worker.terminate();
    this.#port.fail(new CohortError("bad-reward", "reward: it was closed", "load it again"));
  }

  async #watched<T>(work: () => Promise<T>): Promise<T> {
    if (this.#open++ === 0) this.#look();
    try {
      return await work();
    } finally {
      if (--this.#open === 0) clearInterval(this.#watch);
    }
  }

  #look(): void {
    clearInterval(this.#watch);
    let heard = performance.now();
    const ping = () => {
      const asked = performance.now();
      // A hidden page's timers sleep: only a ping that was asked and not answered counts.
      this.#port.call("ping").then(
        () => {
          heard = Math.max(heard, asked);
        },
        () => undefined,
      );
    };
    ping();
    let last = performance.now();
    this.#watch = setInterval(() => {
      const now = performance.now();
      if (now - last > 4 * LOOK) heard = now;
      last = now;
      if (now - heard < SILENCE) return ping();
      clearInterval(this.#watch);
      this.#worker.terminate();
      this.#port.fail(
        new CohortError("bad-reward", `reward: no answer for ${SILENCE / 1000} s`, "look for a loop that does not end"),
      );
    }, LOOK) as unknown as number;
  }
}
