/**
 * @file The bench's training step in TensorFlow.js on its WASM backend.
 *
 * Two things are not as one would write them first, for its good: a product with a transposed operand takes a path that is
 * ten times slower than transposing and multiplying, backward too, so `dot` transposes; the backend has no kernel for the
 * gradient of `gather`, so `embed` scatters.
 */
import {
  ADAM,
  type DecoderShape,
  inputsAndTargets,
  MAX_GRAD_NORM,
  NORM_EPS,
  type PeerStep,
  ropeTable,
  type StepTask,
  timed,
} from "./decoder.ts";
import { peer, tensorflowWasm } from "./peers.ts";

// biome-ignore lint/suspicious/noExplicitAny: peers are optional, and so are their types.
type Tensor = any;

export async function tfjsStep(task: StepTask): Promise<PeerStep | null> {
  // Importing the whole registers the gradients.
  const [all, tf] = [await peer("@tensorflow/tfjs"), await tensorflowWasm()];
  if (!all || !tf) return null;
  const { shape, weights, sequences, learningRate } = task;
  const positions = sequences[0].length - 1;
  const { inputs, targets } = inputsAndTargets(task);
  const { optimizer, variables } = tf.tidy(() => ({
    optimizer: tf.train.adam(learningRate, ADAM.beta1, ADAM.beta2, ADAM.epsilon),
    // Linear layers as its layers keep them: [in, out].
    variables: new Map<string, Tensor>(
      [...weights].map(([name, { shape: s, data }]) => {
        const value = tf.tensor(data, s);
        return [name, tf.variable(name.endsWith("proj.weight") ? tf.transpose(value) : value)];
      }),
    ),
  }));
  const ids = tf.tensor1d(inputs, "int32");
  const labels = tf.tidy(() => tf.oneHot(tf.tensor1d(targets, "int32"), shape.vocabSize).toFloat());
  const loss = decoder(tf, shape, sequences.length, positions);

  const step = () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => loss(variables, ids, labels), [...variables.values()]);
      const norm = tf.sqrt(tf.addN(Object.values(grads).map((g: Tensor) => tf.sum(tf.square(g)))));
      const scale = tf.minimum(1, tf.div(MAX_GRAD_NORM, tf.add(norm, 1e-6)));
      for (const name of Object.keys(grads)) grads[name] = tf.mul(grads[name], scale);
      // Adam without decay is AdamW without decay.
      optimizer.applyGradients(grads);
      return value;
    });
  return {
    step: () =>
      timed(async () => {
        const value = step();
        const [mean] = await value.data();
        value.dispose();
        return mean;
      }),
    close() {
      optimizer.dispose();
      for (const variable of variables.values()) variable.dispose();
      tf.dispose([ids, labels]);
    },
  };
}

/** The mean loss as a function of the variables. */
function decoder(tf: Tensor, shape: DecoderShape, B: number, T: number) {
  const { hiddenSize: C, heads: H, kvHeads: K, layers, vocabSize: V } = shape;
  const [D, G] = [C / H, H / K];
  const table = ropeTable(T, D);
  const [cos, sin] = [tf.tensor2d(table.cos, [T, D]), tf.tensor2d(table.sin, [T, D])];
  // Queries of a group lie one after the other, so that one product serves all heads of its keys.
  const mask = tf.tensor2d(
    Float32Array.from({ length: G * T * T }, (_, i) => (i % T > Math.floor(i / T) % T ? -1e9 : 0)),
    [G * T, T],
  );
  const dot = tf.customGrad((a: Tensor, b: Tensor, save: (t: Tensor[]) => void) => {
    save([a, b]);
    return {
      value: tf.matMul(a, b),
      gradFunc: (dy: Tensor, [x, y]: Tensor[]) => [tf.matMul(dy, tf.transpose(y)), tf.matMul(tf.transpose(x), dy)],
    };
  });
  const embed = (table: Tensor, ids: Tensor) =>
    tf.customGrad((rows: Tensor) => ({
      value: tf.gather(rows, ids),
      gradFunc: (dy: Tensor) => tf.scatterND(tf.expandDims(ids, 1), dy, [V, C]),
    }))(table);
  const norm = (x: Tensor, weight: Tensor) =>
    tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), NORM_EPS))), weight);
  /** [B·T, heads·D] to [B·heads, T, D]. */
  const split = (x: Tensor, heads: number) =>
    tf.reshape(tf.transpose(tf.reshape(x, [B, T, heads, D]), [0, 2, 1, 3]), [B * heads, T, D]);
  const rotate = (x: Tensor) => {
    const [a, b] = tf.split(x, 2, -1);
    return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(b), a], -1), sin));
  };

  return (variables: ReadonlyMap<string, Tensor>, ids: Tensor, labels: Tensor) => {
    const embedding = variables.get("model.embed_tokens.weight");
    let x = embed(embedding, ids);
    for (let layer = 0; layer < layers; layer++) {
      const w = (name: string) => variables.get(`model.layers.${layer}.${name}.weight`);
      const n = norm(x, w("input_layernorm"));
      const q = rotate(split(dot(n, w("self_attn.q_proj")), H));
      const k = rotate(split(dot(n, w("self_attn.k_proj")), K));
      const v = split(dot(n, w("self_attn.v_proj")), K);
      const scores = tf.matMul(tf.reshape(tf.mul(q, 1 / Math.sqrt(D)), [B * K, G * T, D]), k, false, true);
      const mixed = tf.reshape(tf.matMul(tf.softmax(tf.add(scores, mask)), v), [B, H, T, D]);
      x = tf.add(x, dot(tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [B * T, C]), w("self_attn.o_proj")));
      const m = norm(x, w("post_attention_layernorm"));
      const gate = dot(m, w("mlp.gate_proj"));
      x = tf.add(x, dot(tf.mul(tf.mul(gate, tf.sigmoid(gate)), dot(m, w("mlp.up_proj"))), w("mlp.down_proj")));
    }
    const logits = dot(norm(x, variables.get("model.norm.weight")), tf.transpose(embedding));
    return tf.losses.softmaxCrossEntropy(labels, logits);
  };
}
