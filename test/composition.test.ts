/** Options of a configuration put into a system: what they change, and what is refused. */
import { expect, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { recipeOf } from "../core/composition.ts";
import { parseConfig } from "../core/config.ts";
import { loadRecipe, objective, prepare, resolveParams } from "../core/recipe.ts";

const batch = Batch.from({
  lengths: [3, 2, 2, 4],
  group: [0, 0, 1, 1],
  fields: {
    reward: [1, 0, 1, 1],
    mask: new Float64Array(11).fill(1),
    logp: [-1, -2, -0.5, -1, -1.5, -2, -1, -0.3, -0.7, -1.1, -2],
    logp_old: [-1.1, -2.4, -0.5, -1.2, -1.5, -1.8, -1, -0.3, -0.9, -1.1, -2.1],
    logp_rollout: [-1.1, -2.4, -0.9, -1.2, -1.5, -1.8, -1, -0.3, -0.9, -1.1, -7],
    logp_ref: [-1.3, -2, -0.9, -1, -1.2, -2, -1.6, -0.3, -0.7, -1.9, -2],
    truncated: [0, 0, 1, 0],
  },
  shapes: { reward: "trajectory", truncated: "trajectory" },
});

async function losses(json: object): Promise<{ loss: number; dlogp: number[]; keep?: number[] }> {
  const config = parseConfig(json);
  const recipe = await recipeOf(config);
  const params = resolveParams(recipe, config.params);
  const prepared = prepare(recipe, params, batch);
  const { loss, dlogp } = objective(recipe, params, prepared.batch);
  return { loss, dlogp: [...dlogp], ...(prepared.keep && { keep: [...prepared.keep] }) };
}

test("a KL estimator adds its term, by its short name", async () => {
  const plain = await losses({ recipe: "gspo" });
  const short = await losses({ recipe: "gspo", kl: "k3", params: { beta: 0.1 } });
  const long = await losses({ recipe: "gspo", kl: "kl-k3", params: { beta: 0.1 } });
  expect(short).toEqual(long);
  expect(short.loss).toBeGreaterThan(plain.loss);
});

test("filters and corrections are put in together", async () => {
  const plain = await losses({ recipe: "grpo" });
  const filtered = await losses({ recipe: "grpo", filter: ["dynamic-sampling"] });
  // The second group has equal rewards: it teaches nothing and is dropped.
  expect(filtered.keep).toEqual([1, 1, 0, 0]);
  expect(filtered.dlogp.slice(5).every((x) => x === 0)).toBe(true);
  const corrected = await losses({ recipe: "grpo", correction: "tis-token" });
  expect(corrected.dlogp).not.toEqual(plain.dlogp);
  await losses({ recipe: "gspo", kl: "k3", filter: ["dynamic-sampling"], correction: "tis-token" });
});

test("an aggregation replaces the system's own", async () => {
  const own = await losses({ recipe: "grpo" });
  const other = await losses({ recipe: "grpo", aggregate: "token-mean" });
  const dapo = await losses({ recipe: "dapo", params: { eps_hi: 0.2 } });
  expect(other.loss).not.toBe(own.loss);
  expect(other.loss).toBeCloseTo(dapo.loss, 12);
});

test("what does not go together is refused with the reason", async () => {
  const refused = (json: object) => expect(recipeOf(parseConfig(json))).rejects;
  await refused({ recipe: "grpo", kl: "k9" }).toThrow(/unknown recipe 'k9'/);
  await refused({ recipe: "grpo", kl: "dynamic-sampling" }).toThrow(/'dynamic-sampling' has no kl/);
  await refused({ recipe: "sft", kl: "k3" }).toThrow(/loss of its own/);
  await refused({ recipe: "kl-k3", kl: "k3" }).toThrow(/is an option, not a system/);
  expect(() => parseConfig({ recipe: "grpo", filter: "dynamic-sampling" })).toThrow(/filter is "dynamic-sampling"/);
});

test("a KL term that is put in acts with its own coefficient, not the 0 that switched the system's off", async () => {
  const recipe = await recipeOf(parseConfig({ recipe: "grpo", kl: "k2" }));
  expect(resolveParams(recipe)["beta"]).toBe(resolveParams(await loadRecipe("kl-k2"))["beta"]);
  expect(resolveParams(recipe)["beta"]).toBeGreaterThan(0);
});
