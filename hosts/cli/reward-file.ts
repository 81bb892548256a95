/** @file Loads a user's reward module: its default export scores a sample, further named functions are further rewards. */

import { access } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CohortError } from "../../core/errors.ts";
import type { RewardFunction, RewardSpec } from "../../core/rewards/reward.ts";

const EXAMPLE = "write export default (sample) => number";

/**
 * The reward functions of a module: the default export under the file's name, named exports under their own.
 * @param weights weight of each reward by name; 1 where not named
 * @throws CohortError("bad-reward") for a missing file, a syntax error, no export, an export that is no function, a
 *   weight for a reward that is not there
 */
export async function loadRewardFile(
  path: string,
  weights: Readonly<Record<string, number>> = {},
): Promise<RewardSpec[]> {
  const file = resolve(path);
  try {
    await access(file);
  } catch (cause) {
    throw new CohortError(
      "bad-reward",
      `${path}: no such reward file`,
      "check task.reward; it is relative to the configuration file",
      { cause },
    );
  }
  let module: Record<string, unknown>;
  try {
    module = await import(/* @vite-ignore */ pathToFileURL(file).href);
  } catch (cause) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message.split("\n")[0]}` : String(cause);
    throw new CohortError("bad-reward", `${path}: cannot be loaded: ${reason}`, "run the file with node to see where", {
      cause,
    });
  }
  const names = Object.keys(module).filter((name) => name !== "default");
  if (!("default" in module) && names.length === 0) {
    throw new CohortError("bad-reward", `${path}: exports nothing`, EXAMPLE);
  }
  const own = basename(file).replace(/\.[^.]+$/, "");
  const specs: RewardSpec[] = [];
  for (const [name, fn] of [
    ...("default" in module ? [["default", module.default] as const] : []),
    ...names.sort().map((n) => [n, module[n]] as const),
  ]) {
    if (typeof fn !== "function") {
      throw new CohortError(
        "bad-reward",
        `${path}: export "${name}" is ${fn === null ? "null" : `a ${typeof fn}`}, not a function`,
        EXAMPLE,
      );
    }
    const called = name === "default" ? own : name;
    specs.push({ name: called, fn: fn as RewardFunction, weight: weights[called] ?? 1 });
  }
  for (const name of Object.keys(weights)) {
    if (!specs.some((s) => s.name === name)) {
      const known = specs.map((s) => s.name).join(", ");
      throw new CohortError(
        "bad-reward",
        `${path}: task.weights names "${name}", which it does not export`,
        `name ${known}`,
      );
    }
  }
  return specs;
}
