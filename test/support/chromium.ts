/** @file Chromium for tests: the one of the package @sparticuz/chromium, unpacked once, driven by playwright-core. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { type Browser, chromium } from "playwright-core";
import { swiftshader } from "./swiftshader.ts";

const cache = join(import.meta.dirname, "../../node_modules/.cache/cohort-chromium");

/** The program, or null where the package is absent. */
export function chromiumProgram(): string | null {
  const program = join(cache, "chromium");
  if (existsSync(program)) return program;
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  let packed: string;
  try {
    const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    packed = join(entry.slice(0, entry.lastIndexOf("chromium") + 8), "bin/chromium.br");
    if (!existsSync(packed)) return null;
  } catch {
    return null;
  }
  const fresh = `${cache}-${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  writeFileSync(join(fresh, "chromium"), brotliDecompressSync(readFileSync(packed)));
  chmodSync(join(fresh, "chromium"), 0o755);
  // Chromium looks for its Vulkan driver beside itself.
  const driver = swiftshader();
  if (driver) for (const name of readdirSync(driver)) symlinkSync(join(driver, name), join(fresh, name));
  try {
    renameSync(fresh, cache);
  } catch {
    // Another process was first.
    rmSync(fresh, { recursive: true });
  }
  return program;
}

/** @returns null where it cannot be started; tests then skip, saying so */
export async function openChromium(): Promise<Browser | null> {
  const executablePath = chromiumProgram();
  if (!executablePath) return null;
  try {
    return await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
    });
  } catch (error) {
    console.warn(`Chromium cannot be started here: ${(error as Error).message.split("\n")[0]}`);
    return null;
  }
}
