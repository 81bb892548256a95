import { defineRecipe, optional } from "../recipe.ts";
import { filteredProbabilities } from "../rl/sampling.ts";

export default defineRecipe({
  id: "sampling-filters",
  paper: {
    title: "Temperature, top-k, top-p, min-p (no paper)",
    source: "huggingface/trl@f2cd577 trl/trainer/grpo_config.py (options); order as in transformers",
  },
  stage: ["rollout"],
  describe: `The sampler's filters in the order of transformers: repetition penalty (on the ids in tokens, one list a
row), temperature, top-k, top-p, min-p, each on what the one before left, renormalised. null: off. vLLM applies min-p
first.`,
  formula: "p = softmax over what is left of z/temperature, 0 elsewhere",
  params: {
    temperature: optional(1, "divides the logits", { min: 1e-6 }),
    top_k: optional(0, "keep the k largest, ties too; 0: off", { min: 0 }),
    top_p: optional(1, "keep the likeliest until their sum reaches it", { min: 0, max: 1 }),
    min_p: optional(null, "keep what has this share of the likeliest", { min: 0, max: 1 }),
    repetition_penalty: optional(1, "of ids seen before", { min: 1e-6 }),
  },
  fields: { logits: "raw", tokens: "raw" },
  trains: { refuse: "is a part of the sampler", keys: ["temperature", "topK", "topP", "minP"] },
  outputs: (c, p) => {
    const filters = {
      temperature: p.temperature,
      topK: p.top_k,
      topP: p.top_p,
      minP: p.min_p,
      repetitionPenalty: p.repetition_penalty,
    };
    const seen = c.hasRaw("tokens") ? c.raw<number[][]>("tokens") : [];
    return { probability: c.raw<number[][]>("logits").map((row, t) => filteredProbabilities(row, filters, seen[t])) };
  },
});
