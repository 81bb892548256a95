import { existsSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { loraScale, loraTargets, openAdapter, parseAdapterConfig, saveAdapter } from "../core/model/adapter.ts";
import { type ModelConfig, modelConfig, parameterShapes, toHuggingFace } from "../core/model/config.ts";
import { openModelDirectory, requireTokenizer, saveModelDirectory } from "../core/model/directory.ts";
import { elementCount, type TensorSource, writeWeights } from "../core/model/safetensors.ts";
import { characterTokenizer } from "../core/model/tokenizer.ts";
import { memoryStorage } from "../core/storage.ts";
import { nodeStorage } from "../hosts/storage.ts";

const stories = "../shared/models/stories260K";
const small = modelConfig({
  vocabSize: 8,
  hiddenSize: 4,
  intermediateSize: 6,
  heads: 2,
  layers: 2,
  tieWordEmbeddings: false,
  eosIds: [2],
});

/** Values that every format on disk holds exactly. */
const fill = (shape: readonly number[], salt: number) =>
  Float32Array.from({ length: elementCount(shape) }, (_, k) => ((k * 7 + salt) % 64) / 32 - 1);
const tensorsOf = (config: ModelConfig) =>
  parameterShapes(config).map(({ name, shape }, k) => ({ name, shape, data: fill(shape, k) }));

const refusal = async (work: Promise<unknown>): Promise<CohortError> => {
  const error = await work.then(
    () => new Error("nothing was refused"),
    (caught) => caught,
  );
  expect(error).toBeInstanceOf(CohortError);
  return error as CohortError;
};

/** A folder "m" written by hand, so that it may be wrong. */
async function folder(
  config: object,
  tensors: { name: string; shape: readonly number[]; data: Float32Array }[],
  more: Record<string, string> = {},
): Promise<Storage> {
  const storage = memoryStorage({ "m/config.json": JSON.stringify(config) });
  await writeWeights(
    storage,
    "m",
    tensors.map((tensor): TensorSource => ({ ...tensor, dtype: "F32" })),
  );
  for (const [name, text] of Object.entries(more)) await storage.write(`m/${name}`, text);
  return storage;
}

describe("a model's folder", () => {
  test("saved and opened in every format, whole and in shards, it is the same model", async () => {
    const options = fc.record({
      dtype: fc.constantFrom("F32" as const, "BF16" as const, "F16" as const),
      maxShardBytes: fc.constantFrom(undefined, 1, 100, 400),
    });
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.constantFrom("llama" as const, "qwen2" as const, "qwen3" as const),
        fc.boolean(),
        async (how, architecture, tieWordEmbeddings) => {
          const config = modelConfig({
            ...small,
            architecture,
            tieWordEmbeddings,
            attentionBias: architecture === "qwen2",
            qkNorm: architecture === "qwen3",
          });
          const storage = memoryStorage();
          const tokenizer = characterTokenizer("abcde");
          await saveModelDirectory(storage, "m", {
            config,
            tensors: tensorsOf(config),
            files: tokenizer.files(),
            rawConfig: { custom: 1 },
            ...how,
          });
          const model = await openModelDirectory(storage, "m");
          expect(model.config).toEqual(config);
          expect(model.rawConfig).toMatchObject({
            custom: 1,
            torch_dtype: { F32: "float32", BF16: "bfloat16", F16: "float16" }[how.dtype],
          });
          expect(requireTokenizer(model, "m").encode("ab")).toEqual([1, 3, 4]);
          expect([...model.tensors.keys()]).toEqual(parameterShapes(config).map(({ name }) => name));
          for (const { name, shape, data } of tensorsOf(config)) {
            expect(model.tensors.get(name)).toMatchObject({ shape, dtype: how.dtype });
            expect(await model.tensors.get(name)!.load()).toEqual(data);
          }
          expect(await storage.list("")).toEqual(["m/"]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("a missing prefix, rotary buffers and a head beside a tied embedding are tolerated", async () => {
    const tied = modelConfig({ ...small, tieWordEmbeddings: true });
    const tensors = tensorsOf(tied).map((tensor) => ({ ...tensor, name: tensor.name.replace(/^model\./, "") }));
    tensors.push({ name: "lm_head.weight", shape: [8, 4], data: new Float32Array(32) });
    tensors.push({ name: "layers.0.self_attn.rotary_emb.inv_freq", shape: [1], data: new Float32Array(1) });
    const model = await openModelDirectory(await folder(toHuggingFace(tied), tensors), "m");
    expect(model.tensors.size).toBe(parameterShapes(tied).length);
    expect(await model.tensors.get("model.norm.weight")!.load()).toEqual(tensorsOf(tied).at(-1)!.data);
  });

  test("missing, misshapen and superfluous tensors are named", async () => {
    const attempt = async (tensors: ReturnType<typeof tensorsOf>) =>
      (await refusal(openModelDirectory(await folder(toHuggingFace(small), tensors), "m"))).message;
    const all = tensorsOf(small);
    expect(await attempt(all.filter(({ name }) => !name.includes("layers.1.")))).toMatch(
      /^m: 9 tensors missing: model\.layers\.1\.input_layernorm\.weight, (.*, ){4}…/,
    );
    expect(await attempt(all.filter(({ name }) => name !== "lm_head.weight"))).toMatch(
      /1 tensor missing: lm_head.weight — set "tie_word_embeddings"/,
    );
    expect(
      await attempt(all.map((tensor) => (tensor.name === "model.norm.weight" ? { ...tensor, shape: [2, 2] } : tensor))),
    ).toMatch(/model.norm.weight is \[2, 2\], config.json wants \[4\]/);
    expect(
      await attempt([...all, { name: "model.layers.0.self_attn.q_proj.bias", shape: [4], data: new Float32Array(4) }]),
    ).toMatch(/1 tensor that the config has no place for: model.layers.0.self_attn.q_proj.bias/);
  });

  test("end ids of generation_config.json win, all of them", async () => {
    const storage = await folder(toHuggingFace(small), tensorsOf(small), {
      "generation_config.json": '{"eos_token_id":[5,6],"pad_token_id":7,"temperature":0.7}',
    });
    const model = await openModelDirectory(storage, "m");
    expect(model.config).toMatchObject({ eosIds: [5, 6], padId: 7 });
    expect(model.generationConfig.temperature).toBe(0.7);
    expect(Object.keys(model.files)).toEqual(["generation_config.json"]);
    expect(() => requireTokenizer(model, "m")).toThrow(/m has no tokenizer.json/);
  });

  test("no folder, no config, a garbled config", async () => {
    const open = (files: Record<string, string>) => refusal(openModelDirectory(memoryStorage(files), "m"));
    expect((await open({})).message).toMatch(/there is no folder m/);
    expect((await open({ "m/x": "" })).message).toMatch(/m has no config.json/);
    expect((await open({ "m/config.json": "{" })).message).toMatch(/m\/config.json: not JSON/);
    const json = JSON.stringify(toHuggingFace(small));
    for (let cut = 0; cut < json.length; cut += 7) await open({ "m/config.json": json.slice(0, cut) });
    expect((await open({ "m/config.json": json })).message).toMatch(/m has neither model.safetensors nor/);
  });

  test("a hub's name says how a model is fetched; a folder beside others does not", async () => {
    const open = async (dir: string) =>
      (await refusal(openModelDirectory(memoryStorage({ "/work/models/x/config.json": "" }), dir))).message;
    const hint = 'on Node, `await downloadModel("HuggingFaceTB/SmolLM2-135M")` of cohort/node';
    expect(await open("/work/HuggingFaceTB/SmolLM2-135M")).toContain(hint);
    expect(await open("HuggingFaceTB/SmolLM2-135M")).toContain(hint);
    for (const dir of ["/work/models/y", "../models/y", "y", "/work/models/x/"]) {
      expect(await open(dir)).not.toContain("downloadModel");
    }
  });

  test("Git LFS pointers in place of files are called that, with the remedy", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    const storage = await folder(toHuggingFace(small), tensorsOf(small));
    for (const name of ["tokenizer.json", "model.safetensors", "config.json"]) {
      await storage.write(`m/${name}`, pointer);
      const { code, message } = await refusal(openModelDirectory(storage, "m"));
      expect(code).toBe("bad-model");
      expect(message).toMatch(
        /: a Git LFS pointer, not the file itself — `git lfs pull` in its folder fetches the file/,
      );
      expect(message).toContain(`m/${name}`);
    }
  });

  test("cut anywhere, the weights give a CohortError and nothing else", async () => {
    const storage = await folder(toHuggingFace(small), tensorsOf(small));
    const bytes = await storage.read("m/model.safetensors");
    for (let cut = 0; cut < bytes.length; cut += 13) {
      await storage.write("m/model.safetensors", bytes.slice(0, cut));
      expect((await refusal(openModelDirectory(storage, "m"))).code).toBe("bad-model");
    }
  });

  test("a save that fails leaves the old model and no other folder", async () => {
    const storage = memoryStorage();
    await saveModelDirectory(storage, "m", { config: small, tensors: tensorsOf(small) });
    const failing = tensorsOf(small).map((tensor) => ({
      ...tensor,
      data:
        tensor.name === "model.norm.weight"
          ? () => Promise.reject(new CohortError("device", "gpu: lost"))
          : tensor.data,
    }));
    expect((await refusal(saveModelDirectory(storage, "m", { config: small, tensors: failing }))).message).toBe(
      "gpu: lost",
    );
    expect(await storage.list("")).toEqual(["m/"]);
    expect((await openModelDirectory(storage, "m")).tensors.size).toBe(parameterShapes(small).length);
  });

  test("saving refuses missing, misshapen and doubled tensors, and a folder of something else", async () => {
    const storage = memoryStorage({ "home/letter.txt": "dear" });
    const save = (dir: string, tensors = tensorsOf(small)) =>
      refusal(saveModelDirectory(storage, dir, { config: small, tensors }));
    expect((await save("m", tensorsOf(small).slice(1))).message).toMatch(/1 tensor missing: model.embed_tokens.weight/);
    expect((await save("m", [...tensorsOf(small), tensorsOf(small)[0]])).message).toMatch(
      /model.embed_tokens.weight \[8, 4\], is no parameter left/,
    );
    expect(
      (
        await save(
          "m",
          tensorsOf(small).map((tensor) => ({ ...tensor, shape: [1] })),
        )
      ).message,
    ).toMatch(/\[1\], wanted \[8, 4\]/);
    expect((await save("home")).message).toMatch(/home holds letter.txt/);
    expect(await storage.exists("home/letter.txt")).toBe(true);
  });

  test.skipIf(!existsSync(stories))(
    "stories260K opens with every shape (skipped where ../shared is absent)",
    async () => {
      const model = await openModelDirectory(nodeStorage(), stories);
      let parameters = 0;
      for (const { name, shape } of parameterShapes(model.config)) {
        const values = await model.tensors.get(name)!.load();
        expect(values).toHaveLength(elementCount(shape));
        expect(values.some((value) => value !== 0)).toBe(true);
        parameters += values.length;
      }
      expect(parameters).toBe(260_032);
      const storage = memoryStorage();
      const tensors = [...model.tensors].map(([name, { shape, load }]) => ({ name, shape, data: () => load() }));
      await saveModelDirectory(storage, "copy", {
        config: model.config,
        rawConfig: model.rawConfig,
        tensors,
        files: model.files,
        maxShardBytes: 300_000,
      });
      const copy = await openModelDirectory(storage, "copy");
      for (const [name, tensor] of model.tensors)
        expect(await copy.tensors.get(name)!.load()).toEqual(await tensor.load());
      expect(copy.tokenizer!.encode("Once upon")).toEqual([1, 403, 407]);
    },
  );
});

describe("LoRA adapters", () => {
  const lora = { rank: 2, alpha: 16, targetModules: ["q_proj", "down_proj"], rankStabilized: false } as const;
  const pairs = (settings: Parameters<typeof loraTargets>[1]) =>
    new Map(
      loraTargets(small, settings).map((target, k) => [
        target.module,
        { a: fill([settings.rank, target.in], k), b: fill([target.out, settings.rank], k + 50) },
      ]),
    );

  test("saved and opened, an adapter is the same, under PEFT's names", async () => {
    const every = fc.record({
      rank: fc.integer({ min: 1, max: 4 }),
      alpha: fc.integer({ min: 1, max: 64 }),
      rankStabilized: fc.boolean(),
      targetModules: fc.constantFrom<readonly string[] | "all-linear">(
        "all-linear",
        ["o_proj"],
        ["down_proj", "q_proj"],
      ),
      baseModel: fc.constant("some/base"),
    });
    await fc.assert(
      fc.asyncProperty(every, async (settings) => {
        const storage = memoryStorage();
        await saveAdapter(storage, "a", { config: small, lora: settings, tensors: pairs(settings) });
        const adapter = await openAdapter(storage, "a", small);
        expect(adapter.lora).toEqual(settings);
        expect(adapter.rawConfig).toMatchObject({ peft_type: "LORA", r: settings.rank, lora_alpha: settings.alpha });
        expect(adapter.tensors.map(({ module }) => module)).toEqual([...pairs(settings).keys()]);
        for (const tensor of adapter.tensors) {
          expect(await tensor.loadA()).toEqual(pairs(settings).get(tensor.module)!.a);
          expect(await tensor.loadB()).toEqual(pairs(settings).get(tensor.module)!.b);
        }
      }),
      { numRuns: 30 },
    );
    const storage = memoryStorage();
    await saveAdapter(storage, "a", { config: small, lora, tensors: pairs(lora) });
    const text = new TextDecoder().decode(await storage.read("a/adapter_model.safetensors"));
    expect(text).toContain(
      '"base_model.model.model.layers.1.mlp.down_proj.lora_B.weight":{"dtype":"F32","shape":[4,2]',
    );
  });

  test("targets, and the factor of both kinds", () => {
    const targets = (targetModules: readonly string[] | "all-linear") => loraTargets(small, { ...lora, targetModules });
    expect(targets("all-linear")).toHaveLength(14);
    expect(targets(["down_proj"])[1]).toEqual({ module: "model.layers.1.mlp.down_proj", in: 6, out: 4 });
    expect(targets(["layers.1.self_attn.q_proj"])).toHaveLength(1);
    expect(() => targets(["proj"])).toThrow(/target module "proj" is no projection.*q_proj, k_proj/);
    expect(() => targets(["lm_head"])).toThrow(/"lm_head"/);
    expect(() => loraTargets(small, { ...lora, rank: 0 })).toThrow(/rank is 0/);
    expect(loraScale(lora)).toBe(8);
    expect(loraScale({ ...lora, rank: 4, rankStabilized: true })).toBe(8);
  });

  test.each([
    [{ use_dora: true }, /use_dora is true/],
    [{ modules_to_save: ["lm_head"] }, /modules_to_save is \["lm_head"\]/],
    [{ bias: "all" }, /bias is "all"/],
    [{ rank_pattern: { q_proj: 4 } }, /rank_pattern/],
    [{ init_lora_weights: "pissa" }, /init_lora_weights is "pissa"/],
    [{ peft_type: "IA3" }, /peft_type is "IA3"/],
    [{ r: 1.5, lora_alpha: 0 }, /r is 1.5.*lora_alpha is 0/],
    [{ target_modules: ".*q_proj" }, /target_modules is ".\*q_proj"/],
  ])("refuses %j", (change, message) => {
    const peft = {
      peft_type: "LORA",
      r: 8,
      lora_alpha: 16,
      target_modules: ["q_proj"],
      bias: "none",
      modules_to_save: null,
      rank_pattern: {},
      use_dora: false,
    };
    expect(parseAdapterConfig(peft)).toEqual({ rank: 8, alpha: 16, targetModules: ["q_proj"], rankStabilized: false });
    expect(() => parseAdapterConfig({ ...peft, ...change })).toThrow(message);
  });

  test("an adapter of another model, and missing files", async () => {
    const storage = memoryStorage();
    await saveAdapter(storage, "a", { config: small, lora, tensors: pairs(lora) });
    const deeper = modelConfig({ ...small, layers: 3 });
    const wider = modelConfig({ ...small, hiddenSize: 8, headDim: 2 });
    const shallower = modelConfig({ ...small, layers: 1 });
    expect((await refusal(openAdapter(storage, "a", deeper))).message).toMatch(
      /layers.2.self_attn.q_proj.lora_A.weight is missing/,
    );
    expect((await refusal(openAdapter(storage, "a", wider))).message).toMatch(
      /lora_A.weight is \[2, 4\], wanted \[2, 8\]/,
    );
    expect((await refusal(openAdapter(storage, "a", shallower))).message).toMatch(/layers.1.*has no place/);
    await storage.remove("a/adapter_config.json");
    expect((await refusal(openAdapter(storage, "a", small))).message).toMatch(/a\/adapter_config.json is missing/);
  });
});
