export default {
  base: "./",
  // The engine's worker loads recipes when they are asked for: it is an ES module with chunks.
  worker: { format: "es" },
  // Pre-bundling for the development server would lose the worker's file beside its module.
  optimizeDeps: { exclude: ["cohort"] },
  // With these headers a page may use several threads; without them it uses one.
  server: {
    headers: { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
    // "file:../.." links this folder's package to the checkout: the development server must be allowed to read there. A package
    // that is installed from a registry lies in node_modules, and needs no such line.
    fs: { allow: ["../.."] },
  },
};
