/** The conformance suite in Deno (wgpu, naga, JavaScript from source): SwiftShader, and llvmpipe where Mesa is installed. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type ConformanceResult, caseKey, conformanceCases } from "../core/conformance.ts";
import type { FastResults } from "./deno/fast.ts";
import { llvmpipeEnvironment, swiftshader, swiftshaderEnvironment } from "./support/swiftshader.ts";

const root = join(import.meta.dirname, "..");
const deno = join(root, "node_modules/.bin/deno");
const golden = JSON.parse(readFileSync(join(root, "test/golden/conformance.json"), "utf8"));
const software = swiftshader();

const drivers = [
  { name: "SwiftShader", environment: software && swiftshaderEnvironment(software), without: "no SwiftShader here" },
  {
    name: "llvmpipe",
    environment: llvmpipeEnvironment(),
    without: "Debian's mesa-vulkan-drivers is not installed",
  },
];

/** What kept Deno from running at all, or null. */
function absent(): string | null {
  if (!existsSync(deno)) return "Deno is not installed";
  const { status, stderr, error } = spawnSync(deno, ["--version"], { encoding: "utf8" });
  return status === 0 ? null : `Deno does not start: ${error?.message ?? stderr.split("\n")[0]}`;
}
const missing = absent();

for (const { name, environment, without } of drivers) {
  const skip = missing ?? (environment ? null : without);
  describe.skipIf(skip)(`Deno, wgpu, ${name}${skip ? ` (skipped: ${skip})` : ""}`, () => {
    test("gives the golden digests, and fast products within their tolerance", { timeout: 400_000 }, () => {
      const script = [
        "run",
        "--unstable-webgpu",
        "--allow-env",
        "--no-lock",
        "--no-config",
        "test/deno/conformance.ts",
      ];
      const { stdout, stderr } = spawnSync(deno, script, {
        cwd: root,
        encoding: "utf8",
        maxBuffer: 1 << 26,
        env: { ...process.env, ...environment, DENO_DIR: join(root, "node_modules/.cache/deno") },
      });
      expect(stdout, stderr).toMatch(/^\{/);
      const said = JSON.parse(stdout) as { name: string; results: ConformanceResult[]; fast: FastResults };
      expect(said.name, "adapter").toMatch(new RegExp(name, "i"));
      const got = Object.fromEntries(said.results.map((r) => [caseKey({ kernel: r.kernel, name: r.case }), r.digest]));
      expect(Object.keys(got).length).toBe(conformanceCases().length);
      expect(got).toEqual(golden);
      // llvmpipe has f16 and SwiftShader has not: forward products alone are staged in it.
      expect(said.fast.half).toBe(name === "llvmpipe");
      expect(said.fast.products.length).toBe(4);
      for (const product of said.fast.products) {
        expect(product.worst, `${product.name} on ${name}`).toBeLessThan(1);
        expect(product.likeF32, product.name).toBe(!(said.fast.half && product.forward));
      }
    });
  });
}
