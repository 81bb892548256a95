/** @file What the two storages of browsers share: paths, errors in words, and one owner at a time. */
import { CohortError } from "../core/errors.ts";

/** What a DOMException means to a person, and what to do about it. */
const causes: Record<string, [cause: string, remedy: string]> = {
  NotFoundError: ["no such file or folder", "check the path"],
  TypeMismatchError: ["a folder has that name where a file is wanted, or the other way round", "choose another name"],
  QuotaExceededError: [
    "the browser's space for this site is full",
    "remove old runs, or ask for more with navigator.storage.persist(); what was there before is unchanged",
  ],
  NoModificationAllowedError: ["the file is in use", "close the other tab or worker that uses it"],
  SecurityError: ["the browser forbids it", "allow this site to keep data, or use storage memory"],
  InvalidStateError: ["the browser has closed its storage", "allow this site to keep data, or use storage memory"],
};

export async function guarded<T>(verb: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CohortError) throw error;
    const { name, message } = error as DOMException;
    const [cause, remedy] = causes[name] ?? [message || String(error), "check the path and the browser's settings"];
    throw new CohortError("io", `storage: cannot ${verb} ${path}: ${cause}`, remedy, { cause: error });
  }
}

/** The names of a path; "./a//b/", "/a/b" and "a/b" are one. */
export function namesOf(path: string): string[] {
  const names: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") names.push(part);
    else if (names.pop() === undefined) {
      throw new CohortError("io", `storage: ${path} leaves the storage`, "name a path without ..");
    }
  }
  return names;
}

/** Runs works one after the other. */
export function oneByOne(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

/**
 * Keeps other tabs off until the worker ends.
 * @throws CohortError where another tab has it
 */
export async function own(name: string): Promise<void> {
  const { locks } = navigator;
  if (!locks) return;
  const free = await new Promise<boolean>((resolve, reject) => {
    locks
      .request(`cohort:${name}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock && new Promise(() => {});
      })
      .catch(reject);
  });
  if (!free) {
    throw new CohortError("io", `storage: another tab or worker uses "${name}"`, "close it, or give another root");
  }
}
