/**
 * @file A kernel's row of the table (core/kernels.ts) → its WGSL module: the binding prologue is made from the row, the
 * text comes from shaders/<file>.wgsl, or from shaders/software where the plan says so. Nothing is bound by hand.
 *
 * A shader file begins with what all its kernels use; `//# uses a b` on its first line names files whose beginnings it
 * needs; `//# kernel name` begins the text of one kernel. Constants that depend on arguments stand before all of it.
 */
import { CohortError } from "./errors.ts";
import { fastShaders, shaders, softwareShaders } from "./generated/shaders.ts";
import { type KernelName, kernels } from "./kernels.ts";
import type { Plan } from "./plan.ts";

/**
 * `precision: "fast"`: shaders/fast/<file>.wgsl stands in for the file of the same name where there is one. What the
 * adapter has decides what is used of it, so results differ between adapters.
 */
export interface Fast {
  /** reductions by subgroup operations */
  subgroups: boolean;
  /** staged operands of this call in f16 */
  half: boolean;
}

/** Words of the table that WGSL reserves get an underscore. */
const RESERVED = new Set(["precision"]);

interface Source {
  uses: string[];
  common: string;
  kernels: Map<string, string>;
}

const parsed = new Map<string, Source>();

/** The name under which the fast variant of a file is kept, where it has one that this adapter can use. */
function variant(file: string, fast: Fast | null): string {
  return fast && file in fastShaders && (file !== "reduce" || fast.subgroups) ? `fast/${file}` : file;
}

function source(file: string): Source {
  let found = parsed.get(file);
  if (found) return found;
  const [folder, own] = file.includes("/") ? file.split("/") : ["", file];
  const text = { "": shaders, fast: fastShaders, software: softwareShaders }[folder]?.[own];
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
function commons(file: string, fast: Fast | null, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const { uses, common } = source(variant(file, fast));
  return [...uses.flatMap((other) => commons(other, fast, seen)), common];
}

/** `Params` and the bindings of a kernel: binding 0 the uniform, then the row's buffers, then scratch. */
export function prologue(name: KernelName, scratch: readonly string[] = []): string {
  const { buffers, integers = [], atomics = [], dims, scalars = [] } = kernels[name];
  const field = (label: string, type: string) => `  ${label}${RESERVED.has(label) ? "_" : ""}: ${type},`;
  const members = [
    field("zeros", "array<vec4<u32>, 4>"),
    ...dims.map((d) => field(d, "u32")),
    ...scalars.map((s) => field(s, "f32")),
    // Place of a window's first row or element (core/windows.ts).
    field("first", "u32"),
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
export function shaderModule(
  name: KernelName,
  plan: Pick<Plan, "constants" | "scratch" | "software">,
  fast: Fast | null = null,
): string {
  const { file } = kernels[name];
  const from = plan.software ? `software/${file}` : variant(file, fast);
  const own = source(from).kernels.get(name) ?? source(file).kernels.get(name);
  if (own === undefined) {
    throw new CohortError("device", `shader: shaders/${file}.wgsl has no kernel ${name}`, "write it");
  }
  const constants = Object.entries(plan.constants).map(([label, value]) =>
    typeof value === "boolean" ? `const ${label}: bool = ${value};` : `const ${label}: u32 = ${value}u;`,
  );
  const text = [...constants, prologue(name, Object.keys(plan.scratch)), ...commons(file, fast), own].join("\n");
  return fast ? `${fastHead(text, fast)}${text}` : text;
}

/** What the fast variants of a module need of the language, and how they stage operands. */
function fastHead(text: string, { half }: Fast): string {
  const head = [];
  if (/\bsubgroup\w*\(/.test(text)) head.push("enable subgroups;");
  if (/\bStaged\b/.test(text)) {
    if (half) head.unshift("enable f16;");
    head.push(
      `alias Staged = vec4<${half ? "f16" : "f32"}>;`,
      // Past f16's range an operand saturates: an infinity would spoil the whole row.
      `fn stage(x: vec4<f32>) -> Staged { return Staged(${half ? "clamp(x, vec4<f32>(-65504.0), vec4<f32>(65504.0))" : "x"}); }`,
    );
  }
  return head.length > 0 ? `${head.join("\n")}\n` : "";
}

/** Kernels that the shader files hold: for the test that the table and the files agree. */
export function shaderKernels(): { file: string; name: string }[] {
  return Object.keys(shaders).flatMap((file) => [...source(file).kernels.keys()].map((name) => ({ file, name })));
}
