/**
 * @file Software Vulkan drivers for tests: SwiftShader out of the package @sparticuz/chromium, unpacked once, and Mesa's
 * llvmpipe where the system has it.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const cache = join(import.meta.dirname, "../../node_modules/.cache/cohort-swiftshader");

/** The folder, or null where the package is absent. */
export function swiftshader(): string | null {
  if (existsSync(join(cache, "vk_swiftshader_icd.json"))) return cache;
  let packed: string;
  try {
    const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    packed = join(entry.slice(0, entry.lastIndexOf("chromium") + 8), "bin/swiftshader.tar.br");
    if (!existsSync(packed)) return null;
  } catch {
    return null;
  }
  const fresh = `${cache}-${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  untar(brotliDecompressSync(readFileSync(packed)), fresh);
  try {
    renameSync(fresh, cache);
  } catch {
    // Another process was first.
    rmSync(fresh, { recursive: true });
  }
  return cache;
}

/** Plain files of a tar archive. */
function untar(tar: Buffer, to: string): void {
  for (let at = 0; at + 512 <= tar.length; ) {
    const name = tar.toString("latin1", at, at + 100).replace(/\0.*$/s, "");
    if (!name) break;
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8) || 0;
    const type = tar.toString("latin1", at + 156, at + 157);
    if (type === "0" || type === "\0") {
      const file = join(to, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, tar.subarray(at + 512, at + 512 + size));
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

/** Environment in which Vulkan finds SwiftShader and nothing else. */
export function swiftshaderEnvironment(dir: string): Record<string, string> {
  return { VK_ICD_FILENAMES: join(dir, "vk_swiftshader_icd.json"), LD_LIBRARY_PATH: dir };
}

/** Environment in which Vulkan finds llvmpipe and nothing else, or null where Mesa's drivers are not installed. */
export function llvmpipeEnvironment(): Record<string, string> | null {
  const dir = swiftshader();
  const places = ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/lvp_icd.json"];
  const driver = places.find((path) => existsSync(path));
  return dir && driver ? { ...swiftshaderEnvironment(dir), VK_ICD_FILENAMES: driver } : null;
}
