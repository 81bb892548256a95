#!/usr/bin/env node
/** @file The command line on Node (and on runtimes with Node's modules): hands the process to hosts/cli/main.ts. */

import { CohortError } from "../core/errors.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import type { Io } from "./cli/command.ts";
import { main } from "./cli/main.ts";
import { nodeStorage } from "./storage.ts";

// A reader that stops early (`cohort list | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const io: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  terminal: process.stdout.isTTY === true,
  columns: process.stdout.columns ?? 100,
  env: process.env,
  cwd: process.cwd(),
  storage: nodeStorage(),
  now: () => performance.now(),
  onInterrupt(callback) {
    let first = true;
    const listener = () => {
      if (!first) process.exit(130);
      first = false;
      callback();
    };
    process.on("SIGINT", listener);
    return () => process.off("SIGINT", listener);
  },
  async engine(options) {
    let host: typeof import("./node.ts");
    try {
      host = await import("./node.ts");
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CohortError("device", `the engine cannot be loaded: ${reason}`, "install the package again", { cause });
    }
    return host.createEngine(options);
  },
  async replay(input) {
    const { replay } = await import("../core/replay.ts");
    return replay(input as Parameters<typeof replay>[0]);
  },
  recipeIds: async () => recipeIds,
  async recipe(id) {
    const { loadRecipe, paramsOf } = await import("../core/recipe.ts");
    const recipe = await loadRecipe(id);
    return { ...recipe, params: paramsOf(recipe) };
  },
  runtime: `Node ${process.version}, ${process.platform} ${process.arch}`,
};

process.exitCode = await main(process.argv.slice(2), io);
