/** QuickJS as bytes: esbuild's loader gives them (hosts/build.mjs). */
declare module "@jitl/quickjs-wasmfile-release-sync/wasm" {
  const bytes: Uint8Array;
  export default bytes;
}
