import { choice, defineRecipe, integer, number } from "../recipe.ts";
import { gateWeights } from "../rl/routing.ts";

export default defineRecipe({
  id: "router-replay",
  paper: {
    title: "Stabilizing MoE Reinforcement Learning by Aligning Training and Inference Routers",
    source:
      "arXiv 2510.11370; verl-project/verl@1dda039 verl/utils/megatron/router_replay_patch.py, verl/utils/megatron/router_replay_utils.py, verl/workers/engine/megatron/transformer_impl.py",
  },
  stage: ["rollout"],
  describe: `Mixture-of-experts models: the experts that the sampler chose for a token are used again when the trainer
passes over it; their gate weights come from the current router. One layer a call: router_logits has a row over the
experts for each token, routed_experts the stored ids (null: none, routes as usual). R3 replays the sampler's ids, R2
those of the recomputation of lp_old; both read them here. With gate_gradient the loss is its product with the gate
weights, so that drouter_logits is the backward pass. Simplified: no case in the row, names of the fields are ours.`,
  formula: "I = stored ids; g = softmax_I(s), softmax(s) at I, or σ(s)/(Σ_I σ(s) + 1e-20), times scale; 0 outside I",
  params: {
    mode: choice("disabled", ["disabled", "R2", "R3"], "whose ids are replayed"),
    scores: choice(
      "softmax-after",
      ["softmax-after", "softmax-before", "sigmoid"],
      "softmax over the chosen, over all, or sigmoid",
    ),
    top_k: integer(2, "experts of a token that routes as usual", { min: 1 }),
    scale: number(1, "the model's scaling factor"),
  },
  fields: { router_logits: "vocabulary", routed_experts: "raw", gate_gradient: "vocabulary" },
  trains: { refuse: "needs a mixture-of-experts model: supply router_logits and routed_experts of a layer" },
  differentiate: ["router_logits"],
  outputs: (c, p) => ({ gate_weight: gateWeights(c, p.mode !== "disabled", p) }),
  loss: (c, p) =>
    gateWeights(c, p.mode !== "disabled", p)
      .mul(c.field("gate_gradient"))
      .sumOver(c.all),
});
