/**
 * @file The decoder once more, in float64 and as plainly as possible: negative log-likelihood and entropy of sequences,
 * for finite differences. Nothing here is shared with the engine but the config and the parameter names.
 */
import type { ModelConfig } from "../../core/model/config.ts";

export type Weights = Map<string, Float64Array>;

function norm(x: number[], w: ArrayLike<number>, eps: number): number[] {
  const s = 1 / Math.sqrt(x.reduce((a, v) => a + v * v, 0) / x.length + eps);
  return x.map((v, i) => v * s * w[i]);
}

function linear(weights: Weights, name: string, x: number[], lora?: number): number[] {
  const w = weights.get(`${name}.weight`)!;
  const b = weights.get(`${name}.bias`);
  const out = w.length / x.length;
  const dot = (m: Float64Array, row: number, v: number[]) => v.reduce((a, y, i) => a + m[row * v.length + i] * y, 0);
  const y = Array.from({ length: out }, (_, o) => dot(w, o, x) + (b ? b[o] : 0));
  const A = weights.get(`base_model.model.${name}.lora_A.weight`);
  const B = weights.get(`base_model.model.${name}.lora_B.weight`);
  if (A && B && lora !== undefined) {
    const t = Array.from({ length: A.length / x.length }, (_, r) => dot(A, r, x));
    for (let o = 0; o < out; o++) y[o] += lora * dot(B, o, t);
  }
  return y;
}

/**
 * logp of each id after the first, entropy and logits over the temperature at its position.
 * @param perturb what is added to the hidden state where layer l begins, of each position
 */
export function forward64(
  config: ModelConfig,
  weights: Weights,
  ids: ArrayLike<number>,
  temperature = 1,
  lora?: number,
  perturb?: (l: number, position: number) => ArrayLike<number>,
): { logp: number[]; entropy: number[]; logits: number[][] } {
  const { hiddenSize: C, heads, kvHeads, headDim: D, rmsNormEps: eps } = config;
  const n = ids.length - 1;
  const embed = weights.get("model.embed_tokens.weight")!;
  let xs = Array.from({ length: n }, (_, t) => Array.from(embed.subarray(ids[t] * C, (ids[t] + 1) * C)));
  const rotate = (v: number[], t: number) => {
    const half = D / 2;
    const out = v.slice();
    for (let d = 0; d < half; d++) {
      const angle = t / config.ropeTheta ** ((2 * d) / D);
      out[d] = v[d] * Math.cos(angle) - v[d + half] * Math.sin(angle);
      out[d + half] = v[d + half] * Math.cos(angle) + v[d] * Math.sin(angle);
    }
    return out;
  };
  for (let l = 0; l < config.layers; l++) {
    const p = `model.layers.${l}`;
    if (perturb) {
      xs = xs.map((x, t) => {
        const more = perturb(l, t);
        return x.map((y, c) => y + more[c]);
      });
    }
    const normed = xs.map((x) => norm(x, weights.get(`${p}.input_layernorm.weight`)!, eps));
    const heads3 = (name: string, count: number, rot: boolean, w?: Float64Array) =>
      normed.map((x, t) => {
        const y = linear(weights, `${p}.self_attn.${name}`, x, lora);
        return Array.from({ length: count }, (_, h) => {
          let v = y.slice(h * D, (h + 1) * D);
          if (w) v = norm(v, w, eps);
          return rot ? rotate(v, t) : v;
        });
      });
    const q = heads3("q_proj", heads, true, weights.get(`${p}.self_attn.q_norm.weight`));
    const k = heads3("k_proj", kvHeads, true, weights.get(`${p}.self_attn.k_norm.weight`));
    const v = heads3("v_proj", kvHeads, false);
    xs = xs.map((x, i) => {
      const o: number[] = [];
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / (heads / kvHeads));
        const s = Array.from(
          { length: i + 1 },
          (_, j) => q[i][h].reduce((a, y, d) => a + y * k[j][g][d], 0) / Math.sqrt(D),
        );
        const m = Math.max(...s);
        const e = s.map((y) => Math.exp(y - m));
        const z = e.reduce((a, b) => a + b);
        for (let d = 0; d < D; d++) o.push(e.reduce((a, y, j) => a + (y / z) * v[j][g][d], 0));
      }
      const x2 = linear(weights, `${p}.self_attn.o_proj`, o, lora).map((y, c) => y + x[c]);
      const m = norm(x2, weights.get(`${p}.post_attention_layernorm.weight`)!, eps);
      const gate = linear(weights, `${p}.mlp.gate_proj`, m, lora);
      const up = linear(weights, `${p}.mlp.up_proj`, m, lora);
      const inner = gate.map((y, c) => (y / (1 + Math.exp(-y))) * up[c]);
      return linear(weights, `${p}.mlp.down_proj`, inner, lora).map((y, c) => y + x2[c]);
    });
  }
  const head = config.tieWordEmbeddings ? "model.embed_tokens" : "lm_head";
  const logp: number[] = [];
  const entropy: number[] = [];
  const logits: number[][] = [];
  xs.forEach((x, t) => {
    const h = norm(x, weights.get("model.norm.weight")!, eps);
    const z = linear(new Map([["h.weight", weights.get(`${head}.weight`)!]]), "h", h).map((y) => y / temperature);
    const m = Math.max(...z);
    const lse = m + Math.log(z.reduce((a, y) => a + Math.exp(y - m), 0));
    logits.push(z);
    logp.push(z[ids[t + 1]] - lse);
    entropy.push(-z.reduce((a, y) => a + Math.exp(y - lse) * (y - lse), 0));
  });
  return { logp, entropy, logits };
}
