/**
 * @file Peers to measure beside. They are no dependencies of Cohort, not even for development: test/bench/package.json
 * lists them with their versions, and nothing but the bench ever needs their 70 MB.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const from = createRequire(join(process.cwd(), "test/bench/package.json"));
const told = new Set<string>();

/** The module of a peer; null, after a line that says how to get it, where it is not installed. */
// biome-ignore lint/suspicious/noExplicitAny: peers are optional, and so are their types.
export async function peer(name: string): Promise<any> {
  let path: string;
  try {
    path = from.resolve(name);
  } catch {
    if (!told.has(name)) {
      console.error(
        `bench: ${name} is not installed; to measure it too: npm install --prefix test/bench --no-package-lock`,
      );
    }
    told.add(name);
    return null;
  }
  return import(pathToFileURL(path).href);
}

/** TensorFlow.js on its WASM backend, one thread; null where it is not installed. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function tensorflowWasm(): Promise<any> {
  const core = await peer("@tensorflow/tfjs-core");
  const backend = await peer("@tensorflow/tfjs-backend-wasm");
  if (!core || !backend) return null;
  const tf = core.default ?? core;
  (backend.default ?? backend).setWasmPaths(`${dirname(from.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
  await tf.setBackend("wasm");
  return tf;
}

/** jax-js on WASM, one thread where there is no Worker, as in Node; null where it is not installed. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function jaxWasm(): Promise<any> {
  const module = await peer("@jax-js/jax");
  if (!module) return null;
  await module.init("wasm");
  module.defaultDevice("wasm");
  return module;
}
