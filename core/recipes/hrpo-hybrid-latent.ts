import { defineRecipe, number } from "../recipe.ts";
import { dot, type Matrix, times } from "../rl/linear.ts";
import { exp, log, logSigmoid, pow, sigmoid } from "../rl/scalar.ts";

/** (Σ_v p_v E_v)/sqrt(Σ_v p_v²), p = softmax(logits/temperature). */
function softState(embedding: Matrix, logits: readonly number[], temperature: number): number[] {
  const top = Math.max(...logits);
  const weight = logits.map((z) => exp((z - top) / temperature));
  const total = weight.reduce((a, b) => a + b, 0);
  const p = weight.map((w) => w / total);
  const norm = Math.sqrt(dot(p, p));
  return embedding[0].map((_, d) => p.reduce((sum, q, v) => sum + q * embedding[v][d], 0) / norm);
}

export default defineRecipe({
  id: "hrpo-hybrid-latent",
  paper: {
    title: "Hybrid Latent Reasoning via Reinforcement Learning",
    source: "github Yueeeeeeee/HRPO: transformers/models/qwen2/modeling_qwen2.py, hrpo_gsm8k.py",
  },
  stage: ["policy", "rollout", "objective"],
  describe: `While it thinks, the model's next input is a gated mix of the sampled token's embedding and of the mean
embedding of the whole distribution. This is the mix at each position; training it is GRPO, on-policy, with beta 0.005 of
k3, on a model whose inputs are such vectors. Gates start almost fully on the token (Lambda from a_init).`,
  formula: "x = a⊙e + sqrt(1 − a² + eps)⊙(i⊙h), a = exp(−c·softplus(−Λ)·σ(W_r e + b_r)), i = σ(W_i e + b_i)",
  params: {
    c: number(8, "sharpness of the gate", { min: 1e-6 }),
    r_min: number(0.99, "least a_init, where it is drawn", { min: 0, max: 1 }),
    r_max: number(0.999, "largest a_init, where it is drawn", { min: 0, max: 1 }),
    eps: number(1e-8, "under the root", { min: 0 }),
    temperature: number(0.5, "divides the logits", { min: 1e-6 }),
  },
  fields: {
    embedding: "raw",
    logits: "raw",
    token: "raw",
    thinking: "raw",
    Wr: "raw",
    br: "raw",
    Wi: "raw",
    bi: "raw",
    a_init: "raw",
  },
  trains: {
    refuse: "needs a model whose inputs are mixed embeddings: supply embedding, logits, token, thinking and the gates",
  },
  outputs: (c, p) => {
    const E = c.raw<number[][]>("embedding");
    const gate = (e: readonly number[], W: string, b: string): number[] =>
      times(c.raw<number[][]>(W), e).map((x, d) => sigmoid(x + c.raw<number[]>(b)[d]));
    const Lambda = c.raw<number[]>("a_init").map((a) => -log(pow(a, -1 / p.c) - 1));
    const soft_state = c.raw<number[][]>("logits").map((z) => softState(E, z, p.temperature));
    const tokens = c.raw<number[]>("token").map((v) => E[v]);
    // softplus(−Λ) = −ln σ(Λ)
    const gate_a = tokens.map((e) => gate(e, "Wr", "br").map((r, d) => exp(p.c * logSigmoid(Lambda[d]) * r)));
    const input_embedding = tokens.map((e, t) => {
      if (!c.raw<number[]>("thinking")[t]) return e;
      const open = gate(e, "Wi", "bi");
      return e.map((x, d) => {
        const a = gate_a[t][d];
        return a * x + Math.sqrt(1 - a * a + p.eps) * open[d] * soft_state[t][d];
      });
    });
    return { Lambda, soft_state, gate_a, input_embedding };
  },
});
