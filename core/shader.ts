/**
 * @file A kernel's row of the table (core/kernels.ts) → its WGSL module: the binding prologue is made from the row, the
 * text comes from shaders/<file>.wgsl. Nothing is bound by hand.
 *
 * A shader file begins with what all its kernels use; `//# uses a b` on its first line names files whose beginnings it
 * needs; `//# kernel name` begins the text of one kernel. Constants that depend on arguments stand before all of it.
 */
import { CohortError } from "./errors.ts";
import { shaders } from "./generated/shaders.ts";
import { type KernelName, kernels } from "./kernels.ts";
import type { Plan } from "./plan.ts";

/** Words of the table that WGSL reserves get an underscore. */
const RESERVED = new Set(["precision"]);

interface Source {
  uses: string[];
  common: string;
  kernels: Map<string, string>;
}

const parsed = new Map<string, Source>();

function source(file: string): Source {
  let found = parsed.get(file);
  if (found) return found;
  const text = shaders[file];
  if (text === undefined) {
    throw new CohortError("device", `shader: there is no shaders/${file}.wgsl`, "run node hosts/build.mjs wasm");
  }
  const [common, ...sections] = text.split(/^\/\/# kernel /m);
  const uses = /^\/\/# uses (.*)$/m.exec(common)?.[1].split(" ") ?? [];
  found = {
    uses,
    common: common.replace(/^\/\/# uses .*\n/, ""),
    kernels: new Map(
      sections.map((section) => {
        const end = section.indexOf("\n");
        return [section.slice(0, end).trim(), section.slice(end + 1)];
      }),
    ),
  };
  parsed.set(file, found);
  return found;
}

/** Beginnings of `file` and of all that it uses, each once, used ones first. */
function commons(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const { uses, common } = source(file);
  return [...uses.flatMap((other) => commons(other, seen)), common];
}

/** `Params` and the bindings of a kernel: binding 0 the uniform, then the row's buffers, then scratch. */
export function prologue(name: KernelName, scratch: readonly string[] = []): string {
  const { buffers, integers = [], atomics = [], dims, scalars = [] } = kernels[name];
  const field = (label: string, type: string) => `  ${label}${RESERVED.has(label) ? "_" : ""}: ${type},`;
  const members = [
    field("zeros", "array<vec4<u32>, 4>"),
    ...dims.map((d) => field(d, "u32")),
    ...scalars.map((s) => field(s, "f32")),
  ];
  const bindings = Object.entries(buffers).map(([label, access], i) => {
    const word = integers.includes(label) ? "u32" : "f32";
    const type = atomics.includes(label) ? `atomic<${word}>` : word;
    const mode = access === "r" ? "read" : "read_write";
    return `@group(0) @binding(${i + 1}) var<storage, ${mode}> ${label}: array<${type}>;`;
  });
  scratch.forEach((label) => {
    bindings.push(`@group(0) @binding(${bindings.length + 1}) var<storage, read_write> ${label}: array<f32>;`);
  });
  return [
    "struct Params {",
    ...members,
    "}",
    "@group(0) @binding(0) var<uniform> params: Params;",
    ...bindings,
    "",
  ].join("\n");
}

/** The whole module of a kernel. */
export function shaderModule(name: KernelName, plan: Pick<Plan, "constants" | "scratch">): string {
  const { file } = kernels[name];
  const own = source(file).kernels.get(name);
  if (own === undefined) {
    throw new CohortError("device", `shader: shaders/${file}.wgsl has no kernel ${name}`, "write it");
  }
  const constants = Object.entries(plan.constants).map(([label, value]) =>
    typeof value === "boolean" ? `const ${label}: bool = ${value};` : `const ${label}: u32 = ${value}u;`,
  );
  return [...constants, prologue(name, Object.keys(plan.scratch)), ...commons(file), own].join("\n");
}

/** Kernels that the shader files hold: for the test that the table and the files agree. */
export function shaderKernels(): { file: string; name: string }[] {
  return Object.keys(shaders).flatMap((file) => [...source(file).kernels.keys()].map((name) => ({ file, name })));
}
