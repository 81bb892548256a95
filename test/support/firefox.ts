/** @file Firefox for tests: the system's firefox-esr or firefox, driven by puppeteer-core. */
import { existsSync } from "node:fs";
import puppeteer, { type Browser } from "puppeteer-core";
import { llvmpipeEnvironment, swiftshader, swiftshaderEnvironment } from "./swiftshader.ts";

export function firefoxProgram(): string | null {
  const places = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
  return places.find((path) => existsSync(path)) ?? null;
}

/**
 * @param vulkan the software driver that WebGPU finds
 * @returns null where it is not installed or cannot be started; tests then skip, saying so
 */
export async function openFirefox(vulkan: "SwiftShader" | "llvmpipe" = "SwiftShader"): Promise<Browser | null> {
  const executablePath = firefoxProgram();
  if (!executablePath) return null;
  const driver = swiftshader();
  const environment = vulkan === "llvmpipe" ? llvmpipeEnvironment() : driver && swiftshaderEnvironment(driver);
  try {
    return await puppeteer.launch({
      browser: "firefox",
      executablePath,
      headless: true,
      // Of one call: whole runs are made in it, on a machine that does other things beside. The test has a limit of its own.
      protocolTimeout: 600_000,
      env: { ...process.env, ...environment },
      extraPrefsFirefox: {
        "dom.webgpu.enabled": true,
        "dom.webgpu.workers.enabled": true,
        "gfx.webgpu.ignore-blocklist": true,
      },
    });
  } catch (error) {
    console.warn(`Firefox cannot be started here: ${(error as Error).message.split("\n")[0]}`);
    return null;
  }
}
