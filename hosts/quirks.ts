/** @file What is peculiar about adapters and drivers, a row each with its reason. No row changes a bit. */

export interface Quirk {
  /** Adapters whose name it holds for. */
  adapter: RegExp;
  /** A software adapter, whether it says so or not: right, slower than WASM, never chosen unasked. */
  software?: boolean;
  /** The layouts of shaders/software are faster there than those for hardware; the bits are the same. */
  softwareLayout?: boolean;
  /** Seen, with what came of it. */
  reason: string;
}

export const quirks: readonly Quirk[] = [
  {
    adapter: /swiftshader/i,
    software: true,
    softwareLayout: true,
    reason:
      "merges constant factors, flushes products near 1e-38; compiles a large shader in about a second; gathers every read lane by lane and switches stacks at a barrier (shaders/NOTES.md)",
  },
  {
    adapter: /llvmpipe|lavapipe/i,
    software: true,
    reason:
      "contracts and reassociates, and compiles anew with the values of uniforms in the code: the zero of `keep` is read at an index that differs between invocations (shaders/simd.wgsl); takes half a minute to compile an unrolled loop, so no softwareLayout though that would be twice as fast",
  },
  { adapter: /basic render|software/i, software: true, reason: "WARP and its like run on the processor" },
];

export function isSoftwareName(name: string): boolean {
  return quirks.some((quirk) => quirk.software && quirk.adapter.test(name));
}

export function hasSoftwareLayout(name: string): boolean {
  return quirks.some((quirk) => quirk.softwareLayout && quirk.adapter.test(name));
}
