/**
 * The rules of the tree (docs: architecture): hosts do no arithmetic on tensors, the core names no platform, nothing
 * imports a recipe by name, exact paths use no engine-dependent mathematics.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";

const sources = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((e) => e.isFile() && e.name.endsWith(".ts") && !e.parentPath.includes("generated"))
    .map((e) => join(e.parentPath, e.name));

/** Code without comments and strings' contents, so that prose may name what code may not. */
function code(file: string): string {
  return (
    readFileSync(file, "utf8")
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .replace(/(^|[^:])\/\/.*$/gm, "$1")
      // A power of two written out is exact in every engine.
      .replace(/\b2 \*\* -?\d+/g, "0")
  );
}

function imports(file: string): string[] {
  const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const fixed = [...text.matchAll(/^(?:import|export)\s[^;]*?from\s+"([^"]+)"/gm)];
  const bare = [...text.matchAll(/^import\s+"([^"]+)"/gm)];
  const dynamic = [...text.matchAll(/\bimport\(\s*["'`]([^"'`]+)["'`]/g)];
  return [...fixed, ...bare, ...dynamic].map((m) => m[1]);
}

const core = sources("core").filter((f) => !f.startsWith(join("core", "wasm")));
const wasm = sources(join("core", "wasm"));
const recipes = sources(join("core", "recipes"));

function offenders(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((file) => {
    const found = code(file).match(pattern);
    return found ? [`${file}: ${found[0]}`] : [];
  });
}

describe("the core", () => {
  test("names no platform", () => {
    const platform = /\b(process\.|Deno\.|Bun\.|window\.|document\.|navigator\.|localStorage|require\(|__dirname)/;
    expect(offenders(core, platform)).toEqual([]);
    const builtIn = core.flatMap((f) =>
      imports(f)
        .filter((i) => i.startsWith("node:"))
        .map((i) => `${f}: ${i}`),
    );
    expect(builtIn).toEqual([]);
  });
  test("imports no host", () => {
    const up = core.flatMap((f) =>
      imports(f)
        .filter((i) => i.startsWith(".") && normalize(join(dirname(f), i)).startsWith("hosts"))
        .map((i) => `${f}: ${i}`),
    );
    expect(up).toEqual([]);
  });
  test("has no clock and no randomness of the engine's own", () => {
    expect(offenders(core, /\b(Date\.now|new Date|performance\.now|Math\.random|crypto\.)/)).toEqual([]);
  });
  test("uses no mathematics that engines round differently", () => {
    expect(
      offenders(
        core,
        /\bMath\.(exp|expm1|log|log2|log10|log1p|pow|sin|cos|tan|tanh|sinh|cosh|atan2?|cbrt|hypot)\b|\*\*/,
      ),
    ).toEqual([]);
  });
});

describe("the kernels", () => {
  test("use own elementary functions where a GPU twin exists", () => {
    const twins = wasm.filter((f) => !f.includes(`${join("wasm", "rl")}`) && !f.endsWith("host-math.ts"));
    expect(twins.length).toBeGreaterThan(8);
    expect(offenders(twins, /\b(Math|Mathf|NativeMath|NativeMathf)\./)).toEqual([]);
    // f32 division and square root are not exact on GPUs.
    expect(offenders(twins, /f32x4\.(div|sqrt)|\bsqrt\(|f32\.sqrt/)).toEqual([]);
  });
});

describe("recipes", () => {
  test("import the ground and types only, never each other, never the trainer", () => {
    const wrong = recipes.flatMap((f) =>
      imports(f)
        .filter((i) => !/^\.\.\/rl\/[\w-]+\.ts$/.test(i) && i !== "../recipe.ts")
        .map((i) => `${f}: ${i}`),
    );
    expect(wrong).toEqual([]);
  });
  test("are imported by nobody by name", () => {
    const by = [...core, ...sources("hosts")].flatMap((f) =>
      imports(f)
        .filter((i) => /recipes\/[\w-]+(\.ts)?$/.test(i) && !i.includes("${"))
        .map((i) => `${f}: ${i}`),
    );
    expect(by).toEqual([]);
  });
  test("are small", () => {
    const long = recipes.filter((f) => readFileSync(f, "utf8").split("\n").length > 121);
    expect(long).toEqual([]);
  });
  test("nothing switches on a recipe's name", () => {
    const ids = recipes.map((f) => f.slice(f.lastIndexOf("/") + 1, -3));
    const wrong = [...core, ...sources("hosts")]
      .filter((f) => !recipes.includes(f))
      .flatMap((f) =>
        [...code(f).matchAll(/(?:===|!==|case)\s*["']([\w-]+)["']/g)]
          .map((m) => m[1])
          .filter((name) => ids.includes(name) && name.includes("-"))
          .map((name) => `${f}: ${name}`),
      );
    expect(wrong).toEqual([]);
  });
});

test("hosts do no tensor arithmetic: they call kernels and the core", () => {
  const hosts = sources("hosts");
  expect(offenders(hosts, /\bMath\.(exp|log|pow|sin|cos|tanh|fround)\b/)).toEqual([]);
});
