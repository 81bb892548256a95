/**
 * @file Calls across a message boundary (page and worker), both ways: a function's name and arguments go over, its result
 * or error comes back. A CohortError arrives as one.
 */
import { CohortError, type ErrorCode, type ExitCode } from "../core/errors.ts";

/** What both a Worker and a worker's own global have. */
export interface Endpoint {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

interface SentError {
  message: string;
  code?: ErrorCode;
  exitCode?: ExitCode;
  stack?: string;
}

type Message =
  | { kind: "call"; id: number; name: string; args: unknown[] }
  | { kind: "tell"; name: string; args: unknown[] }
  | { kind: "result"; id: number; value: unknown }
  | { kind: "failed"; id: number; error: SentError };

/** The functions that one side offers; every result may be a promise. */
// biome-ignore lint/suspicious/noExplicitAny: each function has its own arguments, the table has none.
export type Offers = { [name: string]: (...args: any[]) => unknown };

export interface Port<Theirs extends Offers> {
  call<K extends keyof Theirs & string>(
    name: K,
    ...args: Parameters<Theirs[K]>
  ): Promise<Awaited<ReturnType<Theirs[K]>>>;
  /** without an answer; calls and tells arrive in the order in which they were made */
  tell<K extends keyof Theirs & string>(name: K, ...args: Parameters<Theirs[K]>): void;
  /** every open call, and every later one, fails with `error` */
  fail(error: Error): void;
}

function sent(error: unknown): SentError {
  if (!(error instanceof Error)) return { message: String(error) };
  const { message, stack } = error;
  return error instanceof CohortError
    ? { message, stack, code: error.code, exitCode: error.exitCode }
    : { message: error.name === "Error" ? message : `${error.name}: ${message}`, stack };
}

function received({ message, code, exitCode, stack }: SentError): Error {
  const error = code ? new CohortError(code, message, "", { exitCode }) : new Error(message);
  if (stack) error.stack = stack;
  return error;
}

/** Joins the two ends: `mine` is offered to the other side, whose functions the result calls. */
export function join<Theirs extends Offers>(endpoint: Endpoint, mine: Offers): Port<Theirs> {
  const open = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  let next = 0;
  let broken: Error | undefined;
  endpoint.addEventListener("message", async ({ data }) => {
    const message = data as Message;
    if (message.kind === "tell") void mine[message.name](...message.args);
    else if (message.kind === "call") {
      const { id, name, args } = message;
      try {
        endpoint.postMessage({ kind: "result", id, value: await mine[name](...args) } satisfies Message);
      } catch (error) {
        endpoint.postMessage({ kind: "failed", id, error: sent(error) } satisfies Message);
      }
    } else {
      const waiting = open.get(message.id);
      open.delete(message.id);
      if (message.kind === "result") waiting?.resolve(message.value as never);
      else waiting?.reject(received(message.error));
    }
  });
  return {
    call(name, ...args) {
      if (broken) return Promise.reject(broken);
      const id = next++;
      return new Promise((resolve, reject) => {
        open.set(id, { resolve, reject });
        try {
          endpoint.postMessage({ kind: "call", id, name, args } satisfies Message);
        } catch (error) {
          open.delete(id);
          reject(error as Error);
        }
      });
    },
    tell(name, ...args) {
      if (!broken) endpoint.postMessage({ kind: "tell", name, args } satisfies Message);
    },
    fail(error) {
      broken = error;
      for (const { reject } of open.values()) reject(error);
      open.clear();
    },
  };
}
