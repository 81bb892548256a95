// Every recipe, found by its file: its cases, its derivatives, its degenerate batches, its manners.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { CohortError } from "../core/errors.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import {
  compose,
  defineRecipe,
  loadRecipe,
  needs,
  number,
  objective,
  paramsOf,
  prepare,
  resolveParams,
} from "../core/recipe.ts";
import { replay } from "../core/replay.ts";
import { completed, differences, madeUp } from "./rl-support.ts";

const shared = new URL("../../shared/systems/cases/", import.meta.url).pathname;
const own = new URL("./cases/", import.meta.url).pathname;
interface CaseFile {
  system: string;
  case: string;
  params?: Record<string, unknown>;
  batch: Record<string, unknown>;
  state?: Record<string, unknown>;
  expected: Record<string, unknown>;
  tolerance?: number;
}
const casesIn = (folder: string): CaseFile[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((f) => f.endsWith(".json"))
        .map((f) => JSON.parse(readFileSync(folder + f, "utf8")) as CaseFile)
    : [];

/** The first difference beyond the tolerance (relative above 1), or undefined. */
function miss(got: unknown, want: unknown, tolerance: number, path: string): string | undefined {
  if (typeof want === "number") {
    const close = typeof got === "number" && Math.abs(got - want) <= tolerance * Math.max(1, Math.abs(want));
    return close ? undefined : `${path}: got ${JSON.stringify(got)}, want ${want}`;
  }
  if (Array.isArray(want)) {
    if (!Array.isArray(got) || got.length !== want.length) return `${path}: got ${JSON.stringify(got)?.slice(0, 80)}`;
    for (let i = 0; i < want.length; i++) {
      const m = miss(got[i], want[i], tolerance, `${path}[${i}]`);
      if (m) return m;
    }
    return undefined;
  }
  if (want !== null && typeof want === "object") {
    for (const k of Object.keys(want)) {
      const m = miss(
        (got as Record<string, unknown>)?.[k],
        (want as Record<string, unknown>)[k],
        tolerance,
        `${path}.${k}`,
      );
      if (m) return m;
    }
    return undefined;
  }
  return got === want ? undefined : `${path}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`;
}

const runCase = async ({ expected, tolerance, ...input }: CaseFile): Promise<void> => {
  const { outputs } = await replay(input);
  expect(miss(outputs, expected, tolerance ?? 1e-5, "outputs")).toBeUndefined();
};

describe("cases of the catalogue", () => {
  if (!existsSync(shared)) it.skip(`skipped: no ${shared}`, () => {});
  for (const c of casesIn(shared).filter((c) => recipeIds.includes(c.system)))
    it(`${c.system} ${c.case}`, () => runCase(c));
});

describe("cases of our own", () => {
  for (const c of casesIn(own)) it(`${c.system} ${c.case}`, () => runCase(c));
});

describe.each([...recipeIds])("%s", (id) => {
  it("is declared in full", async () => {
    const recipe = await loadRecipe(id);
    expect(recipe.id).toBe(id);
    expect(recipe.paper.title.length).toBeGreaterThan(3);
    expect(recipe.describe.length).toBeGreaterThan(60);
    expect(recipe.formula.length).toBeGreaterThan(5);
    expect(recipe.stage.length).toBeGreaterThan(0);
    // Defaults obey their own ranges.
    const defaults = Object.fromEntries(Object.entries(paramsOf(recipe)).map(([k, spec]) => [k, spec.default]));
    expect(() => resolveParams(recipe, defaults)).not.toThrow();
  });

  it("has the derivatives that finite differences give", async ({ skip }) => {
    const recipe = await loadRecipe(id);
    const batches: [Batch, Record<string, unknown>][] = [1, 2, 3].map((seed) => [madeUp(seed), {}]);
    for (const c of [...casesIn(shared), ...casesIn(own)].filter((c) => c.system === id).slice(0, 2)) {
      batches.push([completed(Batch.fromCase(c.batch, recipe.fields), 5), c.params ?? {}]);
    }
    let checked = 0;
    for (const [batch, given] of batches) {
      try {
        const d = differences(recipe, resolveParams(recipe, given), batch);
        expect(d.worst, d.where).toBeLessThan(2e-5);
        checked += d.checked;
        expect(d.skipped, "elements near a kink").toBeLessThanOrEqual(0.3 * (d.checked + d.skipped));
      } catch (error) {
        if (!(error instanceof CohortError) || error.code !== "bad-batch") throw error;
      }
    }
    // A recipe of the policy-gradient kind must have been checked on one batch at least.
    if (checked > 0 || recipe.option || recipe.outputs) return;
    // Pairs, labels and the like come from cases alone.
    if (!existsSync(shared)) skip(`no batch that it takes without ${shared}`);
    expect(checked).toBeGreaterThan(0);
  });

  it("gives finite numbers for groups of one, empty masks, one token, extreme ratios and rewards", async () => {
    const recipe = await loadRecipe(id);
    const params = resolveParams(recipe);
    const trajectory = fc.record({
      group: fc.nat(3),
      reward: fc.oneof(fc.constantFrom(0, 1, 1e6, -1e6), fc.double({ min: -3, max: 3, noNaN: true })),
      tokens: fc.array(
        fc.record({
          mask: fc.constantFrom(0, 1),
          logp: fc.constantFrom(0, -1e-9, -0.5, -2, -80, -700),
          old: fc.constantFrom(0, -1e-9, -0.5, -2, -80, -700),
        }),
        { maxLength: 4 },
      ),
    });
    fc.assert(
      fc.property(fc.array(trajectory, { minLength: 1, maxLength: 6 }), (rows) => {
        const ids = [...new Set(rows.map((r) => r.group))];
        const tokens = rows.flatMap((r) => r.tokens);
        const batch = Batch.from({
          lengths: rows.map((r) => r.tokens.length),
          group: rows.map((r) => ids.indexOf(r.group)),
          fields: Object.fromEntries([
            ["reward", rows.map((r) => r.reward)],
            ["correct", rows.map((r) => Number(r.reward > 0))],
            ["mask", tokens.map((t) => t.mask)],
            ["logp", tokens.map((t) => t.logp)],
            ...["logp_old", "logp_ref", "logp_rollout"].map((name) => [name, tokens.map((t) => t.old)]),
            ["entropy", tokens.map(() => 0.5)],
            ["value", tokens.map((t) => t.mask)],
          ]),
          shapes: Object.fromEntries(
            ["mask", "logp", "logp_old", "logp_ref", "logp_rollout", "entropy", "value"].map((name) => [name, "token"]),
          ),
        });
        try {
          const prepared = prepare(recipe, params, batch);
          const step = objective(recipe, params, prepared.batch);
          for (const { data } of Object.values(step.gradients)) expect(data.every((x) => x - x === 0)).toBe(true);
          for (const x of Object.values({ ...prepared.metrics, ...step.metrics })) expect(x - x).toBe(0);
        } catch (error) {
          // A recipe may ask for fields that this batch lacks; it may not compute nonsense.
          if (!(error instanceof CohortError) || error.code !== "bad-batch") throw error;
        }
      }),
      { numRuns: 60, seed: 7 },
    );
  });

  it("does not depend on the order of trajectories, and gives the whole batch for a selection of all", async () => {
    const recipe = await loadRecipe(id);
    const params = resolveParams(recipe);
    const batch = madeUp(11);
    try {
      const { batch: ready } = prepare(recipe, params, batch);
      const whole = objective(recipe, params, ready);
      const order = Array.from({ length: batch.trajectory.size }, (_, i) => i).reverse();
      const turned = ready.select(order);
      const again = objective(recipe, params, turned);
      expect(again.loss).toBeCloseTo(whole.loss, 11);
      const back = order.map((_, k) => order.indexOf(k));
      const dlogp = turned
        .with({ dlogp: { level: turned.token, data: again.dlogp } })
        .select(back)
        .fields.get("dlogp")!.data;
      expect(Math.max(0, ...dlogp.map((x, t) => Math.abs(x - whole.dlogp[t])))).toBeLessThan(1e-12);
    } catch (error) {
      if (!(error instanceof CohortError) || error.code !== "bad-batch") throw error;
    }
  });
});

describe("recipes at large", () => {
  test("an unknown id names the nearest", async () => {
    await expect(loadRecipe("gspoo")).rejects.toThrow("did you mean 'gspo'");
  });

  test("parameters are checked by name, type and range", async () => {
    const grpo = await loadRecipe("grpo");
    expect(() => resolveParams(grpo, { epslo: 0.1 })).toThrow("did you mean 'eps_lo'");
    expect(() => resolveParams(grpo, { eps_lo: -0.1 })).toThrow("at least 0");
    expect(() => resolveParams(grpo, { eps_lo: "0.2" })).toThrow("finite number");
    expect(resolveParams(grpo, { eps_lo: 0.1 })["eps_lo"]).toBe(0.1);
    expect(() => resolveParams(grpo, { eps_lo: Number.NaN })).toThrow("finite number");
    const games = await loadRecipe("gdro-rl");
    expect(() => resolveParams(games, { arms: null })).toThrow("list of finite numbers");
    expect(() => resolveParams(games, { arms: [2, -4] })).toThrow("at least 0");
    expect(() => resolveParams(games, { arms: [2, "4"] })).toThrow("list of finite numbers");
    const lanes = await loadRecipe("blip-fuseppo");
    expect(() => resolveParams(lanes, { w: [1, 2] })).toThrow("list of 4 finite numbers");
  });

  test("no recipe inherits GRPO's KL by giving another meaning to its coefficient", async () => {
    for (const recipe of await Promise.all(recipeIds.map(loadRecipe))) {
      const inherits = !recipe.kl && !recipe.loss && !recipe.outputs && !recipe.option && "beta" in recipe.params;
      if (inherits) expect(recipe.params["beta"].doc, recipe.id).toMatch(/k3 penalty to the reference/);
    }
  });

  test("what a recipe reads follows its parameters", async () => {
    const grpo = await loadRecipe("grpo");
    expect(needs(grpo, resolveParams(grpo, { beta: 0 }))).toEqual(["logp", "logp_old", "mask", "reward"]);
    expect(needs(grpo, resolveParams(grpo, { beta: 0.1 }))).toContain("logp_ref");
    const dpo = await loadRecipe("dpo");
    expect(needs(dpo, resolveParams(dpo))).toEqual(["logp", "logp_ref", "mask", "pairs"]);
  });

  test("an option replaces a slot and brings its parameters", async () => {
    const grpo = await loadRecipe("grpo");
    const option = defineRecipe({
      id: "constant-kl",
      paper: { title: "test" },
      stage: ["objective"],
      describe: "test",
      formula: "test",
      params: { level: number(2, "what is added to every token loss") },
      option: true,
      kl: (c, p) => c.number(p.level, c.token),
    });
    const both = compose(grpo, { kl: option });
    const params = resolveParams(both, { level: 3 });
    const batch = madeUp(5);
    const plain = objective(grpo, resolveParams(grpo), prepare(grpo, resolveParams(grpo), batch).batch);
    const more = objective(both, params, prepare(both, params, batch).batch);
    const empty = Array.from(batch.lengths.keys()).filter((i) => {
      const mask = batch.fields.get("mask")!.data;
      return mask.subarray(batch.offsets[i], batch.offsets[i + 1]).every((m) => m === 0);
    }).length;
    expect(more.loss - plain.loss).toBeCloseTo(3 * (1 - empty / batch.trajectory.size), 12);
    expect(() => compose(grpo, { filter: option })).toThrow("it can lend kl");
    expect(() => compose(option, { kl: option })).toThrow("is an option");
  });

  test("an option without a meaning beside the base is refused; filters multiply", async () => {
    const [dpo, sampling, quantile, tis, dapo] = await Promise.all(
      ["dpo", "dynamic-sampling", "top-entropy-quantile", "tis-token", "dapo"].map(loadRecipe),
    );
    expect(() => compose(dpo, { weight: tis })).toThrow("never runs 'weight'");
    expect(() => compose(dapo, { gate: [dapo, dapo] })).toThrow("both fill 'gate'");
    const both = compose(dapo, { filter: [sampling, quantile], weight: tis });
    const params = resolveParams(both, { top_entropy_quantile: 0.5, c_max: 2 });
    const kept = prepare(both, params, madeUp(21));
    expect(kept.keep).toBeDefined();
    expect(kept.keepToken).toBeDefined();
    expect(Math.max(...kept.weight!)).toBeLessThanOrEqual(2);
    expect(Number.isFinite(objective(both, params, kept.batch).loss)).toBe(true);
  });

  test("metrics are there under TRL's names and are 0 on-policy", async () => {
    const grpo = await loadRecipe("grpo");
    const params = resolveParams(grpo);
    const batch = madeUp(9);
    const { batch: ready, metrics } = prepare(grpo, params, batch);
    const onPolicy = objective(grpo, params, ready, { logp: ready.fields.get("logp_old")!.data });
    expect(onPolicy.metrics["clip_ratio/region_mean"]).toBe(0);
    expect(onPolicy.metrics["ratio"]).toBe(1);
    expect(onPolicy.metrics["ppo_kl"]).toBe(0);
    expect(onPolicy.metrics["entropy"]).toBeGreaterThan(0);
    expect(metrics["reward"]).toBeGreaterThan(0);
    expect(metrics["frac_reward_zero_std"]).toBeGreaterThanOrEqual(0);
  });
});
