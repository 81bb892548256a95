/**
 * @file The bench's training step in jax-js on its WASM device: one compiled function for loss and gradients, one for the
 * update (both in one is slower). An array is consumed by the call that it is given to; `.ref` keeps it for one more.
 */
import {
  ADAM,
  inputsAndTargets,
  MAX_GRAD_NORM,
  NORM_EPS,
  type PeerStep,
  ropeTable,
  type StepTask,
  timed,
} from "./decoder.ts";
import { jaxWasm } from "./peers.ts";

// biome-ignore lint/suspicious/noExplicitAny: peers are optional, and so are their types.
type Arr = any;
type Tree = Record<string, Arr>;
type State = { p: Tree; m: Tree; v: Tree };

export async function jaxStep(task: StepTask): Promise<PeerStep | null> {
  const jax = await jaxWasm();
  if (!jax) return null;
  const { numpy: np, nn, jit, valueAndGrad, tree } = jax;
  const { shape, weights, sequences, learningRate } = task;
  const { hiddenSize: C, heads: H, kvHeads: K, layers } = shape;
  const [B, T, D, G] = [sequences.length, sequences[0].length - 1, C / H, H / K];
  const table = ropeTable(T, D);
  const [cos, sin] = [table.cos, table.sin].map((data) => np.array(data).reshape([1, T, D]));
  // Queries of a group lie one after the other, so that one product serves all heads of its keys.
  const mask = np
    .array(Float32Array.from({ length: G * T * T }, (_, i) => (i % T > Math.floor(i / T) % T ? -1e9 : 0)))
    .reshape([1, G * T, T]);
  const { inputs, targets } = inputsAndTargets(task);
  const [ids, labels] = [inputs, targets].map((data) => np.array(data, { dtype: np.int32 }));

  const norm = (x: Arr, weight: Arr) =>
    x.ref.mul(np.reciprocal(np.sqrt(np.mean(np.square(x), -1, { keepdims: true }).add(NORM_EPS)))).mul(weight);
  const rotate = (x: Arr) => {
    const [a, b] = np.split(x.ref, 2, -1);
    return x.mul(cos.ref).add(np.concatenate([np.negative(b), a], -1).mul(sin.ref));
  };
  /** [B·T, heads·D] to [B·heads, T, D]. */
  const split = (x: Arr, heads: number) =>
    np.transpose(x.reshape([B, T, heads, D]), [0, 2, 1, 3]).reshape([B * heads, T, D]);
  const loss = (p: Tree) => {
    let x = np.take(p["model.embed_tokens.weight"].ref, ids.ref, 0);
    for (let layer = 0; layer < layers; layer++) {
      const w = (name: string) => p[`model.layers.${layer}.${name}.weight`];
      const linear = (y: Arr, name: string) => np.matmul(y, w(name));
      const n = norm(x.ref, w("input_layernorm"));
      const q = rotate(split(linear(n.ref, "self_attn.q_proj"), H)).mul(1 / Math.sqrt(D));
      const k = rotate(split(linear(n.ref, "self_attn.k_proj"), K));
      const v = split(linear(n, "self_attn.v_proj"), K);
      const scores = np.matmul(q.reshape([B * K, G * T, D]), np.transpose(k, [0, 2, 1]));
      const heads = np.matmul(nn.softmax(scores.add(mask.ref), -1), v).reshape([B, H, T, D]);
      const mixed = np.transpose(heads, [0, 2, 1, 3]).reshape([B * T, C]);
      x = x.add(linear(mixed, "self_attn.o_proj"));
      const m = norm(x.ref, w("post_attention_layernorm"));
      const gated = nn.silu(linear(m.ref, "mlp.gate_proj")).mul(linear(m, "mlp.up_proj"));
      x = x.add(linear(gated, "mlp.down_proj"));
    }
    const logits = np.matmul(norm(x, p["model.norm.weight"]), np.transpose(p["model.embed_tokens.weight"]));
    const chosen = nn.logSoftmax(logits, -1).mul(nn.oneHot(labels.ref, shape.vocabSize));
    return np.negative(np.sum(chosen)).mul(1 / (B * T));
  };

  const { beta1, beta2, epsilon } = ADAM;
  const gradients = jit(valueAndGrad(loss));
  const update = jit((p: Tree, m: Tree, v: Tree, grads: Tree, correct1: Arr, correct2: Arr) => {
    const squares = Object.values(grads).map((g) => np.sum(np.square(g.ref)));
    const total = np.sqrt(squares.reduce((a, b) => a.add(b)));
    const scale = np.minimum(1, np.reciprocal(total.add(1e-6)).mul(MAX_GRAD_NORM));
    const next: State = { p: {}, m: {}, v: {} };
    for (const name of Object.keys(p)) {
      const g = grads[name].mul(scale.ref);
      next.m[name] = m[name].mul(beta1).add(g.ref.mul(1 - beta1));
      next.v[name] = v[name].mul(beta2).add(np.square(g).mul(1 - beta2));
      const root = np.sqrt(next.v[name].ref.mul(correct2.ref)).add(epsilon);
      const move = next.m[name].ref.mul(correct1.ref).div(root);
      next.p[name] = p[name].sub(move.mul(learningRate));
    }
    for (const used of [scale, correct1, correct2]) used.dispose();
    return next;
  });

  const zeros = (): Tree => {
    const entries = [...weights].map(([name, { shape: s }]) => [name, np.zeros(own(name, s))]);
    return Object.fromEntries(entries);
  };
  // Linear layers [in, out], as is usual with JAX.
  const own = (name: string, s: readonly number[]) => (name.endsWith("proj.weight") ? [s[1], s[0]] : [...s]);
  let state: State = {
    p: Object.fromEntries(
      [...weights].map(([name, { shape: s, data }]) => {
        const value = np.array(data).reshape([...s]);
        return [name, name.endsWith("proj.weight") ? np.transpose(value) : value];
      }),
    ),
    m: zeros(),
    v: zeros(),
  };
  let [power1, power2] = [1, 1];
  return {
    step: () =>
      timed(async () => {
        power1 *= beta1;
        power2 *= beta2;
        const correction = (power: number) => np.array([1 / (1 - power)]);
        const [value, grads] = gradients(tree.ref(state.p));
        state = update(state.p, state.m, state.v, grads, correction(power1), correction(power2));
        await jax.blockUntilReady(state);
        return (await value.data())[0];
      }),
    close() {
      tree.dispose(state);
      gradients.dispose();
      update.dispose();
      for (const a of [cos, sin, mask, ids, labels]) a.dispose();
    },
  };
}
