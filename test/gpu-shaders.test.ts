/** What shader files may hold: the rules of exactness by text, and bindings that come from the table alone. */
import { describe, expect, test } from "vitest";
import type { WgslReflect } from "wgsl_reflect";
// @ts-expect-error: the package has types for its main entry alone, which Node cannot load.
import * as wgsl from "wgsl_reflect/wgsl_reflect.module.js";
import { shaders, softwareShaders } from "../core/generated/shaders.ts";
import { type KernelName, kernelNames, kernels } from "../core/kernels.ts";
import { planOf } from "../core/plan.ts";
import { shaderKernels, shaderModule } from "../core/shader.ts";

/** Without comments. */
const code = Object.fromEntries(
  [
    ...Object.entries(shaders),
    ...Object.entries(softwareShaders).map(([file, text]) => [`software/${file}`, text] as const),
  ].map(([file, text]) => [file, text.replace(/\/\/.*$/gm, "")]),
);

describe("shaders", () => {
  test("hold a twin of every kernel of the table, in the file of the same name", () => {
    const want = kernelNames.map((name) => `${kernels[name].file}/${name}`).sort();
    expect(
      shaderKernels()
        .map(({ file, name }) => `${file}/${name}`)
        .sort(),
    ).toEqual(want);
  });

  test.each(Object.keys(code))("%s uses nothing whose bits a driver may choose", (file) => {
    const text = code[file];
    const builtins =
      /(?<![\w.])(exp2?|log2?|pow|sqrt|inverseSqrt|tanh?|sinh?|cosh?|asin|acos|atan2?|dot|fma|mix|smoothstep|length|distance|normalize|fract|ldexp|subgroup\w*|quad\w*|unpack\w*|pack\w*)\s*\(/g;
    // `mix` of the digest kernel is its own function over integers.
    const own = new Set([...text.matchAll(/fn (\w+)\(/g)].map((m) => m[1]));
    const found = [...text.matchAll(builtins)].map((m) => m[1]).filter((name) => !own.has(name));
    expect(found).toEqual([]);
    expect(text).not.toMatch(/\b(f16|enable|requires|diagnostic)\b/);
    // Division of whole numbers only: the right operand is a literal, a dim or an integer variable.
    for (const [, , right] of text.matchAll(/(\S+) \/ (\S+)/g)) {
      expect(right).toMatch(
        /^\(?(\d+u\b|params\.(width|heads|kvHeads|ld)\b|half\b|group\b|per\b|columns\b|GROUPS\b|\(4u \* GROUPS\)|TILE_K\b|vec4<u32>\()/,
      );
    }
    expect(text).not.toMatch(/@group|@binding/);
    // Without `begin` the barrier of `keep` is a constant.
    for (const [entry] of text.matchAll(/@compute[^{]*\{\s*\w*/g)) expect(entry).toMatch(/\{\s*begin$/);
    expect(text.match(/@compute/g)?.length ?? 0).toBe(text.match(/^ {2}begin\(lane\);$/gm)?.length ?? 0);
  });

  const sizes: Record<string, number> = { precision: 24, dim: 80, heads: 4, kvHeads: 2 };
  const texts = kernelNames.flatMap((name) =>
    kernels[name].file in softwareShaders
      ? [[name, ""] as const, [name, " (software)"] as const]
      : [[name, ""] as const],
  );
  test.each(texts)("%s%s is bound as the table says", (name: KernelName, layout: string) => {
    const { buffers, dims, scalars = [] } = kernels[name];
    const labels = Object.keys(buffers);
    const call = {
      words: Object.fromEntries(labels.map((label) => [label, 4096])),
      dims: Object.fromEntries(dims.map((d) => [d, sizes[d] ?? 4])),
    };
    const plan = planOf(name, labels, call, layout !== "");
    const reflect: WgslReflect = new wgsl.WgslReflect(shaderModule(name, plan));
    const params = reflect.structs.find((s) => s.name === "Params")!;
    expect(params.members.map((m) => m.name.replace(/_$/, ""))).toEqual(["zeros", ...dims, ...scalars, "first"]);
    const bound = new Map(reflect.storage.map((s) => [s.name, s]));
    labels.forEach((label, i) => {
      expect(bound.get(label)?.binding).toBe(i + 1);
      expect(bound.get(label)?.access).toBe(buffers[label] === "r" ? "read" : "read_write");
    });
    expect([...bound.keys()].sort()).toEqual([...labels, ...Object.keys(plan.scratch)].sort());
    // What each pass says it uses is what its entry point uses.
    for (const { entry, buffers: used } of plan.passes) {
      const found = reflect.entry.compute.find((e) => e.name === entry);
      expect(found, entry).toBeDefined();
      const resources = found!.resources.map((r) => r.name).filter((r) => bound.has(r));
      expect(used).toEqual(expect.arrayContaining([...new Set(resources)]));
    }
  });
});
