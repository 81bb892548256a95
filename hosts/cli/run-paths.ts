/**
 * @file Where the files of a run's configuration are now. A run folder may be moved, copied to another machine or mounted
 * elsewhere; its config.json names prompts, reward, data and models by the paths that they had.
 */

import { isDataTask, isFileTask, referenceDirectory, type TrainConfig } from "../../core/config.ts";
import { CohortError } from "../../core/errors.ts";
import { absolute, type Io } from "./command.ts";

type PathKey = "model" | "reference" | "task.prompts" | "task.reward" | "task.data" | "task.heldout";

function pathsOf(config: TrainConfig): [PathKey, string][] {
  const { model, task } = config;
  const paths: [PathKey, string | null][] = [
    ["model", typeof model === "string" ? model : null],
    ["reference", referenceDirectory(config)],
  ];
  if (isFileTask(task)) paths.push(["task.prompts", task.prompts], ["task.reward", task.reward]);
  if (isDataTask(task)) paths.push(["task.data", task.data]);
  if (isFileTask(task) || isDataTask(task)) paths.push(["task.heldout", task.heldout]);
  return paths.filter((entry): entry is [PathKey, string] => entry[1] !== null);
}

function withPath(config: TrainConfig, key: PathKey, path: string): TrainConfig {
  const [outer, inner] = key.split(".");
  if (inner === undefined) return { ...config, [outer]: path };
  return { ...config, task: { ...config.task, [inner]: path } as TrainConfig["task"] };
}

/** A bare name is looked for this many folders up from the run's: it says too little to be found at any distance. */
const BARE = 2;

/**
 * The path's last names, as many as possible, below the run's folder or one above it: what was moved together is found,
 * and what was put beside the run.
 */
async function lookFor(path: string, dir: string, io: Io): Promise<string | null> {
  const names = path.split(/[\\/]/).filter((name) => name !== "" && name !== ".");
  const folders: string[] = [];
  for (let at = absolute(io, dir).replace(/\/+$/, ""); ; at = at.slice(0, at.lastIndexOf("/"))) {
    folders.push(at);
    if (!at.includes("/")) break;
  }
  // What the run itself wrote is not what it began with.
  const own = /^(checkpoints|reference)(\/|$)/;
  for (let from = 0; from < names.length; from++) {
    const tail = names.slice(from).join("/");
    for (const [up, folder] of folders.entries()) {
      if ((up === 0 && own.test(tail)) || (from === names.length - 1 && up > BARE)) continue;
      if (await io.storage.exists(`${folder}/${tail}`)) return `${folder}/${tail}`;
    }
  }
  return null;
}

/**
 * The configuration of a run folder with its paths as they are now; each one that was found elsewhere is told.
 * @param needed keys without whose files the work cannot be done; default all
 * @throws CohortError("bad-config") naming every path that is neither in its place nor near the run, and how to give it
 */
export async function settlePaths(
  config: TrainConfig,
  dir: string,
  io: Io,
  needed: (key: PathKey) => boolean = () => true,
): Promise<TrainConfig> {
  let settled = config;
  const missing: [PathKey, string][] = [];
  for (const [key, path] of pathsOf(config)) {
    if (await io.storage.exists(path)) continue;
    const found = await lookFor(path, dir, io);
    if (found !== null) {
      io.err(`cohort: ${key} is no longer ${path}; ${found} is used\n`);
      settled = withPath(settled, key, found);
    } else if (needed(key)) missing.push([key, path]);
  }
  if (missing.length === 0) return settled;
  const what = missing.map(([key, path]) => `${key} ${path}`).join(", ");
  const set = missing.map(([key]) => `--set ${key}=PATH`).join(" ");
  const [is, it] = missing.length === 1 ? ["is", "it"] : ["are", "them"];
  throw new CohortError(
    "bad-config",
    `${dir}/config.json: ${what} ${is} not there, nor near the run`,
    `give the new place with ${set}, or put ${it} beside the run folder`,
  );
}
