import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import {
  type ModelConfig,
  modelConfig,
  parameterShapes,
  parseModelConfig,
  toHuggingFace,
} from "../core/model/config.ts";

const llama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  vocab_size: 512,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 2,
};
const qwen2 = { ...llama, architectures: ["Qwen2ForCausalLM"], model_type: "qwen2" };
const qwen3 = { ...llama, architectures: ["Qwen3ForCausalLM"], model_type: "qwen3" };

function refusal(work: () => unknown): CohortError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(CohortError);
    return error as CohortError;
  }
  throw new Error("nothing was refused");
}

describe("parseModelConfig", () => {
  test("the three architectures differ in biases, QK norm and the default head size", () => {
    const read = (json: object) => parseModelConfig(json as Record<string, unknown>);
    expect(read(llama)).toMatchObject({ architecture: "llama", headDim: 8, attentionBias: false, qkNorm: false });
    expect(read({ ...llama, attention_bias: true })).toMatchObject({ attentionBias: true, attentionOutputBias: true });
    expect(read(qwen2)).toMatchObject({ attentionBias: true, attentionOutputBias: false, mlpBias: false, headDim: 8 });
    expect(read(qwen3)).toMatchObject({ architecture: "qwen3", attentionBias: false, qkNorm: true, headDim: 128 });
    expect(read({ ...qwen3, architectures: undefined }).architecture).toBe("qwen3");
    expect(read({ ...llama, num_key_value_heads: undefined }).kvHeads).toBe(8);
    expect(read({ ...llama, head_dim: null, pad_token_id: -1, eos_token_id: [2, 7] })).toMatchObject({
      headDim: 8,
      eosIds: [2, 7],
    });
  });

  test("rope settings are read in the old and the new spelling", () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
    const scaled = { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 };
    const old = parseModelConfig({ ...llama, rope_theta: 5e5, rope_scaling: { ...llama3, rope_type: "llama3" } });
    const nested = { ...llama3, rope_type: "llama3", rope_theta: 5e5 };
    expect(old).toMatchObject({ ropeTheta: 5e5, ropeScaling: scaled });
    expect(parseModelConfig({ ...llama, dtype: "bfloat16", rope_parameters: nested })).toEqual(old);
    expect(parseModelConfig({ ...llama, rope_scaling: { type: "linear", factor: 2 } }).ropeScaling).toEqual({
      type: "linear",
      factor: 2,
    });
    const plain = parseModelConfig({ ...llama, rope_parameters: { rope_type: "default", rope_theta: 1e6 } });
    expect(plain.ropeTheta).toBe(1e6);
    expect("ropeScaling" in plain).toBe(false);
  });

  test.each([
    [{ architectures: ["MistralForCausalLM"] }, /unknown architecture "MistralForCausalLM".*LlamaForCausalLM.*Qwen3/],
    [{ architectures: ["LlamaForTokenClassification"] }, /unknown architecture/],
    [{ architectures: undefined, model_type: undefined }, /neither "architectures" nor "model_type"/],
    [{ hidden_act: "gelu" }, /"hidden_act" is "gelu", only "silu"/],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, /type "yarn"/],
    [{ rope_scaling: { rope_type: "llama3", factor: 4 } }, /in "rope_scaling": "low_freq_factor" is missing/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    [{ quantization_config: { quant_method: "gptq" } }, /quantised weights are not read/],
    [{ num_key_value_heads: 3 }, /8 attention heads are not a multiple of 3 key-value heads/],
    [{ head_dim: 7 }, /head size 7 is not a whole even number/],
    [{ num_attention_heads: 7, num_key_value_heads: 7 }, /head size 9.14/],
    [{ vocab_size: "512" }, /"vocab_size" is "512", wanted a whole number/],
    [{ hidden_size: undefined, num_hidden_layers: 0 }, /"hidden_size" is missing; "num_hidden_layers" is 0, wanted/],
    [{ tie_word_embeddings: "yes", eos_token_id: "</s>" }, /"tie_word_embeddings" is "yes".*"eos_token_id" is "<\/s>"/],
    [{ eos_token_id: 512 }, /end-of-sequence id 512 is outside the vocabulary of 512/],
  ])("refuses %j", (change, message) => {
    const error = refusal(() => parseModelConfig({ ...llama, ...change }, "dir/config.json"));
    expect(error.code).toBe("bad-model");
    expect(error.message).toMatch(/^dir\/config\.json: /);
    expect(error.message).toMatch(message);
  });

  test("Qwen's sliding window is refused only where it is in use", () => {
    const window = { use_sliding_window: true, sliding_window: 256, max_window_layers: 1 };
    expect(refusal(() => parseModelConfig({ ...qwen2, ...window })).message).toMatch(
      /sliding-window attention is not built/,
    );
    expect(
      refusal(() => parseModelConfig({ ...qwen2, layer_types: ["full_attention", "sliding_attention"] })).message,
    ).toMatch(/"sliding_attention"/);
    for (const off of [{ use_sliding_window: false }, { max_window_layers: 2 }, { sliding_window: null }]) {
      expect(parseModelConfig({ ...qwen2, ...window, ...off }).layers).toBe(2);
    }
    expect(parseModelConfig({ ...llama, ...window }).layers).toBe(2);
  });
});

const shapes = fc
  .record({
    architecture: fc.constantFrom("llama" as const, "qwen2" as const, "qwen3" as const),
    vocabSize: fc.integer({ min: 10, max: 99 }),
    layers: fc.integer({ min: 1, max: 3 }),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    half: fc.integer({ min: 1, max: 8 }),
    repeat: fc.integer({ min: 1, max: 3 }),
    tieWordEmbeddings: fc.boolean(),
    ropeScaling: fc.constantFrom(undefined, { type: "linear" as const, factor: 2 }),
    eosIds: fc.uniqueArray(fc.nat(9), { maxLength: 3 }),
  })
  .map(({ half, repeat, ...rest }) => modelConfig({ ...rest, heads: rest.kvHeads * repeat, headDim: 2 * half }));

describe("modelConfig and toHuggingFace", () => {
  test("a config comes back from its config.json, which keeps what it does not know", () => {
    fc.assert(
      fc.property(shapes, (config) => {
        const json = JSON.parse(
          JSON.stringify(toHuggingFace(config, { _name_or_path: "x", use_cache: false }, "float32")),
        );
        expect(json).toMatchObject({ _name_or_path: "x", use_cache: false, torch_dtype: "float32" });
        const back = parseModelConfig(json);
        for (const key of Object.keys(config) as (keyof ModelConfig)[]) expect(back[key]).toEqual(config[key]);
        const newer = toHuggingFace(
          config,
          { dtype: "bfloat16", rope_parameters: { rope_type: "default", rope_theta: 1 } },
          "float16",
        );
        expect(newer).toMatchObject({ dtype: "float16" });
        expect(parseModelConfig(newer)).toEqual(back);
      }),
    );
  });

  test("a few sizes are enough", () => {
    const config = modelConfig({ vocabSize: 20 });
    expect(config).toMatchObject({
      architecture: "llama",
      hiddenSize: 64,
      heads: 4,
      kvHeads: 4,
      headDim: 16,
      layers: 2,
    });
    expect(modelConfig({ vocabSize: 20, architecture: "qwen3" }).qkNorm).toBe(true);
    expect(modelConfig({ vocabSize: 20, architecture: "qwen2" })).toMatchObject({
      attentionBias: true,
      attentionOutputBias: false,
    });
  });

  test.each([
    [{ hiddensize: 32 }, /unknown key "hiddensize" \(did you mean "hiddenSize"\?\)/],
    [{ layers: 1.5 }, /layers is 1.5/],
    [{ heads: 5 }, /^model config: hiddenSize 64 is not a multiple of heads 5, and no headDim is given — /],
    [{ heads: 5, headDim: 12.8 }, /headDim is 12.8, wanted a whole number/],
    [{ kvHeads: 3 }, /^model config: heads 4 is not a multiple of kvHeads 3 — /],
    [{ hiddenSize: 30, heads: 4, kvHeads: 3 }, /: hiddenSize 30 is .* of heads 4, .*; heads 4 is .* of kvHeads 3 — /],
    [{ hiddenSize: "x", heads: 4 }, /^model config: hiddenSize is "x", wanted a whole number of at least 1; int/],
    [{ layers: 1e12 }, /layers is 1000000000000, wanted a whole number from 1 to 2147483647/],
    [{ qkNorm: true }, /a llama model cannot have qkNorm true/],
    [{ architecture: "qwen2", attentionBias: false }, /a qwen2 model cannot have attentionBias false/],
    [{ architecture: "gpt2" }, /architecture is "gpt2"/],
    [{ tieWordEmbeddings: 1 }, /tieWordEmbeddings is 1/],
    [{ rmsNormEps: 0 }, /rmsNormEps is 0/],
    [{ ropeScaling: { type: "yarn" } }, /"yarn"/],
    [{ eosIds: [20] }, /id 20 is outside the vocabulary of 20/],
    [{ vocabSize: undefined }, /vocabSize is undefined/],
  ])("refuses %j", (change, message) => {
    const error = refusal(() => modelConfig({ vocabSize: 20, ...change } as Parameters<typeof modelConfig>[0]));
    expect(error.code).toBe("bad-config");
    expect(error.message).toMatch(message);
  });
});

test("parameterShapes: Hugging Face's names, shapes [out, in]; biases, QK norm and head only where they are", () => {
  const list = parameterShapes(
    modelConfig({ vocabSize: 10, layers: 1, hiddenSize: 12, intermediateSize: 20, heads: 4, kvHeads: 2, headDim: 4 }),
  );
  expect(list.map(({ name, shape, kind }) => `${name} ${shape.join("x")} ${kind}`)).toEqual([
    "model.embed_tokens.weight 10x12 embedding",
    "model.layers.0.input_layernorm.weight 12 norm",
    "model.layers.0.self_attn.q_proj.weight 16x12 linear",
    "model.layers.0.self_attn.k_proj.weight 8x12 linear",
    "model.layers.0.self_attn.v_proj.weight 8x12 linear",
    "model.layers.0.self_attn.o_proj.weight 12x16 linear",
    "model.layers.0.post_attention_layernorm.weight 12 norm",
    "model.layers.0.mlp.gate_proj.weight 20x12 linear",
    "model.layers.0.mlp.up_proj.weight 20x12 linear",
    "model.layers.0.mlp.down_proj.weight 12x20 linear",
    "model.norm.weight 12 norm",
  ]);
  const names = (config: ModelConfig, kind: RegExp) =>
    parameterShapes(config)
      .map(({ name }) => name)
      .filter((name) => kind.test(name));
  expect(names(modelConfig({ vocabSize: 10, layers: 1, architecture: "qwen2" }), /bias/)).toHaveLength(3);
  expect(names(modelConfig({ vocabSize: 10, layers: 1, attentionBias: true, mlpBias: true }), /bias/)).toHaveLength(7);
  expect(names(modelConfig({ vocabSize: 10, layers: 1, architecture: "qwen3" }), /[qk]_norm/)).toHaveLength(2);
  expect(names(modelConfig({ vocabSize: 10, tieWordEmbeddings: false }), /lm_head/)).toEqual(["lm_head.weight"]);
});
