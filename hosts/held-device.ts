/** @file The device that an engine works on, and what takes its place when it is lost. */
import { CohortError } from "../core/errors.ts";
import { isDeviceLoss } from "../core/train.ts";
import type { Opened } from "./device.ts";

/** What every call on an engine fails with after `close()`, on whichever host. */
export function closedError(): CohortError {
  return new CohortError("bad-input", "the engine is closed", "create another one, or close it later");
}

export class HeldDevice {
  #now: Opened;
  #next: Promise<Opened | null> | null = null;
  #closed = false;
  readonly #open = new Set<(error: Error) => void>();

  constructor(first: Opened) {
    this.#now = first;
  }

  /** @throws CohortError where the engine is closed */
  get now(): Opened {
    if (this.#closed) throw closedError();
    return this.#now;
  }

  /**
   * Does `work`; where its device is lost, once more from its beginning on what takes the device's place. The bits are the
   * same there. Ends because a device is reopened a few times at most (`Opened.reopen`).
   * @param onLoss told why the device was lost, before the work begins again
   * @throws CohortError where the engine is closed, or is closed meanwhile
   */
  async use<T>(work: (on: Opened) => Promise<T>, onLoss?: (reason: string, next: Opened) => unknown): Promise<T> {
    for (;;) {
      const on = this.now;
      try {
        return await this.#unlessClosed(work(on));
      } catch (error) {
        if (this.#closed || !isDeviceLoss(error, on.device)) throw error;
        // Of works at the same time the first one reopens.
        if (on === this.#now) {
          this.#next ??= on.reopen?.() ?? null;
          const next = await this.#next;
          if (!next) throw error;
          this.#now = next;
          this.#next = null;
          if (this.#closed) {
            await next.close();
            throw closedError();
          }
        }
        await onLoss?.(on.device.fault ?? reasonOf(error), this.#now);
      }
    }
  }

  /** Work on a closed device may never answer: whoever waits for it is told. */
  async #unlessClosed<T>(work: Promise<T>): Promise<T> {
    let end!: (error: Error) => void;
    const closed = new Promise<never>((_, reject) => {
      end = reject;
    });
    this.#open.add(end);
    try {
      return await Promise.race([work, closed]);
    } finally {
      this.#open.delete(end);
    }
  }

  /** Work that is under way fails; closing twice is closing once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#open) end(closedError());
    await this.#now.close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof CohortError ? error.message.split(" — ")[0] : String(error);
}
