/** @file The device that an engine works on, and what takes its place when it is lost. */
import { CohortError } from "../core/errors.ts";
import { isDeviceLoss } from "../core/train.ts";
import type { Opened } from "./device.ts";

export class HeldDevice {
  #now: Opened;
  #next: Promise<Opened | null> | null = null;

  constructor(first: Opened) {
    this.#now = first;
  }

  get now(): Opened {
    return this.#now;
  }

  /**
   * Does `work`; where its device is lost, once more from its beginning on what takes the device's place. The bits are the
   * same there. Ends because a device is reopened a few times at most (`Opened.reopen`).
   * @param onLoss told why the device was lost, before the work begins again
   */
  async use<T>(work: (on: Opened) => Promise<T>, onLoss?: (reason: string, next: Opened) => unknown): Promise<T> {
    for (;;) {
      const on = this.#now;
      try {
        return await work(on);
      } catch (error) {
        if (!isDeviceLoss(error, on.device)) throw error;
        // Of works at the same time the first one reopens.
        if (on === this.#now) {
          this.#next ??= on.reopen?.() ?? null;
          const next = await this.#next;
          if (!next) throw error;
          this.#now = next;
          this.#next = null;
        }
        await onLoss?.(on.device.fault ?? reasonOf(error), this.#now);
      }
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof CohortError ? error.message.split(" — ")[0] : String(error);
}
