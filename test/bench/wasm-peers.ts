/**
 * @file Matrix products of other engines on WASM, one thread each: TensorFlow.js, ONNX Runtime Web, jax-js. Peers get the
 * operands as they keep them; what is timed is the product alone.
 */
import { jaxWasm, peer, tensorflowWasm } from "./peers.ts";

export interface Shape {
  readonly name: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** The second operand lies [n, k], as weights do. */
  readonly forward?: boolean;
}

export type Product = (shape: Shape, a: Float32Array, b: Float32Array) => Promise<() => Promise<unknown>>;

async function tensorflow(): Promise<Product | null> {
  const tf = await tensorflowWasm();
  if (!tf) return null;
  return async ({ m, n, k, forward }, a, b) => {
    const x = tf.tensor2d(a, [m, k]);
    // Its layers keep weights as [in, out]; a transposed operand takes a path that is ten times slower.
    const y = forward ? tf.transpose(tf.tensor2d(b, [n, k])) : tf.tensor2d(b, [k, n]);
    return async () => tf.matMul(x, y).dispose();
  };
}

/** An ONNX model of one Gemm, in protocol-buffer bytes. */
function gemm({ m, n, k, forward }: Shape): Uint8Array {
  const leb = (v: number): number[] => (v > 127 ? [(v & 127) | 128, ...leb(v >>> 7)] : [v]);
  const field = (id: number, bytes: number[]) => [(id << 3) | 2, ...leb(bytes.length), ...bytes];
  const text = (id: number, s: string) => field(id, [...new TextEncoder().encode(s)]);
  const number = (id: number, v: number) => [...leb(id << 3), ...leb(v)];
  const dims = (d: number[]) =>
    field(
      2,
      d.flatMap((x) => field(1, number(1, x))),
    );
  const info = (name: string, d: number[]) => [...text(1, name), ...field(2, field(1, [...number(1, 1), ...dims(d)]))];
  const transposed = [...text(1, "transB"), ...number(3, forward ? 1 : 0), ...number(20, 2)];
  const node = [...text(1, "a"), ...text(1, "b"), ...text(2, "c"), ...text(4, "Gemm"), ...field(5, transposed)];
  const graph = [
    ...field(1, node),
    ...text(2, "product"),
    ...field(11, info("a", [m, k])),
    ...field(11, info("b", forward ? [n, k] : [k, n])),
    ...field(12, info("c", [m, n])),
  ];
  return new Uint8Array([...number(1, 8), ...field(7, graph), ...field(8, number(2, 13))]);
}

async function onnxruntime(): Promise<Product | null> {
  const module = await peer("onnxruntime-web/wasm");
  if (!module) return null;
  const ort = module.default ?? module;
  ort.env.wasm.numThreads = 1;
  return async (shape, a, b) => {
    const session = await ort.InferenceSession.create(gemm(shape), { executionProviders: ["wasm"] });
    // It leaves a Worker behind that Node has not, and jax-js would take Node for a page.
    Reflect.deleteProperty(globalThis, "Worker");
    const { m, n, k, forward } = shape;
    const feeds = {
      a: new ort.Tensor("float32", a, [m, k]),
      b: new ort.Tensor("float32", b, forward ? [n, k] : [k, n]),
    };
    return () => session.run(feeds);
  };
}

async function jax(): Promise<Product | null> {
  const module = await jaxWasm();
  if (!module) return null;
  const { numpy: np, jit } = module;
  return async ({ m, n, k, forward }, a, b) => {
    const x = np.array(a).reshape([m, k]);
    const y = np.array(b).reshape(forward ? [n, k] : [k, n]);
    const product = jit((p: unknown, q: unknown) => np.matmul(p, forward ? np.transpose(q) : q));
    return async () => {
      const z = product(x.ref, y.ref);
      await z.blockUntilReady();
      z.dispose();
    };
  };
}

/** Those that are installed. */
export async function wasmPeers(): Promise<Record<string, Product>> {
  const all = { "tfjs wasm": await tensorflow(), "onnxruntime-web": await onnxruntime(), "jax-js wasm": await jax() };
  return Object.fromEntries(Object.entries(all).filter((e): e is [string, Product] => e[1] !== null));
}
