/** @file Deno and Bun for tests: the programs of their npm packages, run on the source as it is. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { swiftshader, swiftshaderEnvironment } from "./swiftshader.ts";

const root = join(import.meta.dirname, "../..");
const present = (...paths: string[]) => paths.map((path) => join(root, path)).find((path) => existsSync(path)) ?? null;

/** null where the package's program is absent (another platform, or installed without optional packages) */
export const denoProgram = (): string | null => present("node_modules/deno/deno");
/** Where install scripts ran, the platform package's program was moved into `bun/bin`; a text stands there otherwise. */
export const bunProgram = (): string | null =>
  present("node_modules/@oven/bun-linux-x64/bin/bun", "node_modules/bun/bin/bun.exe");

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** Runs a program in the repository's folder to its end; killed after four minutes. WebGPU finds SwiftShader. */
export function runProgram(program: string, args: readonly string[]): Promise<Ended> {
  const driver = swiftshader();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", ...(driver && swiftshaderEnvironment(driver)) },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 240_000,
      killSignal: "SIGKILL",
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (data) => {
      out += data;
    });
    child.stderr.on("data", (data) => {
      err += data;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}
