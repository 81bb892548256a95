/**
 * @file Checks that several readers of a model's files share.
 */
import { CohortError } from "../errors.ts";

/**
 * What stands in a clone in place of a large file that was not fetched: three lines of text.
 * @throws CohortError "bad-model" where `text`, the beginning of the file, is such a pointer
 */
export function refuseLfsPointer(text: string, path: string): void {
  if (!text.startsWith("version https://git-lfs.github.com/spec/")) return;
  throw new CohortError(
    "bad-model",
    `${path}: a Git LFS pointer, not the file itself`,
    "`git lfs pull` in its folder fetches the file (`git lfs install` before it, once)",
  );
}

/** The JSON object that a model's file should hold. @throws CohortError "bad-model" that names the file */
export function parseJsonObject(text: string, path: string): Record<string, unknown> {
  refuseLfsPointer(text, path);
  const remedy = "download or copy the file again";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CohortError("bad-model", `${path}: not JSON (${(error as Error).message})`, remedy, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CohortError("bad-model", `${path}: expected a JSON object`, remedy);
  }
  return value as Record<string, unknown>;
}

/** The ids as a list of whole numbers from 0. @throws CohortError "bad-input" with the first that is not one */
export function checkIds(ids: ArrayLike<number>, where: string): number[] {
  const list = Array.from(ids);
  const wrong = list.find((id) => !Number.isSafeInteger(id) || id < 0);
  if (wrong === undefined) return list;
  throw new CohortError("bad-input", `${where}: ${wrong} is no token id`, "pass whole numbers from 0");
}
