import { defineRecipe, integer, list, number, optional } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { candidates, type Evolution, evolve, parentsOf, startEvolution } from "../rl/evolution.ts";
import type { Matrix } from "../rl/linear.ts";
import { singular } from "../rl/spectrum.ts";

const parents = (p: { parents: number | null; population: number }): number =>
  p.parents ?? Math.max(1, Math.floor(p.population / 2));

const search = (c: Context): Evolution => c.state as unknown as Evolution;

export default defineRecipe({
  id: "essa",
  paper: { title: "ESSA: Evolutionary Strategies for Scalable Alignment", arxiv: "2507.04553" },
  stage: ["update", "policy"],
  describe: `No gradient: the largest singular values of fine-tuned LoRA factors are searched by CMA-ES on the reward of
(quantised) inference runs. This is one generation and the change of singular values; workers exchange seeds and rewards
only. A reconstruction: which CMA-ES the authors run was not read; this is the standard full one. State: that of CMA-ES.`,
  formula: "x_k = m + σC^½z_k; m ← m + σΣ w_i y_(i); p_σ, p_c, C, σ as in CMA-ES; M ← U diag(s′)Vᵀ",
  params: {
    population: integer(48, "candidates a generation", { min: 2 }),
    parents: optional(null, "best candidates that count; null: half the population", { min: 1 }),
    sigma0: number(0.3, "first step size", { min: 0 }),
    mean0: list([], "first mean: the singular values to start from"),
  },
  fields: { z: "raw", lora_matrix: "raw", singular_values_new: "raw" },
  trains: {
    refuse: "needs a search over LoRA singular values without gradients: supply z and the reward of each candidate",
  },
  state: {
    init: (p) => ({ ...startEvolution(p.mean0, p.sigma0) }),
    update: (c, p) => ({ ...evolve(search(c), c.raw("z"), [...c.reward.values()], parents(p)) }),
  },
  outputs: (c, p) => {
    const found: Record<string, unknown> = {
      candidates: candidates(search(c), c.raw("z")).points,
      ...parentsOf([...c.reward.values()], parents(p)),
    };
    if (!c.hasRaw("lora_matrix")) return found;
    const { values, rebuilt } = singular(c.raw<Matrix>("lora_matrix"));
    return { ...found, singular_values: values, lora_matrix_new: rebuilt(c.raw("singular_values_new")) };
  },
});
