// What no recipe may do: give NaN or infinity, depend on the order of trajectories or on how a step is cut into
// micro-batches, or fail without saying where. Recipes are found by their files.
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { CohortError } from "../core/errors.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import { loadRecipe, objective, prepare, type Recipe, resolveParams } from "../core/recipe.ts";
import { replay } from "../core/replay.ts";
import { Context } from "../core/rl/context.ts";
import { degenerateBatch, degenerateCases, degenerateTable } from "../core/rl/degenerate.ts";
import { madeUp, random } from "./rl-support.ts";
import { all } from "./support/all.ts";

interface Row {
  group: number;
  reward: number;
  tokens: { mask: number; logp: number; old: number; reward: number }[];
}

function batchOf(rows: readonly Row[]): Batch {
  const ids = [...new Set(rows.map((r) => r.group))];
  const tokens = rows.flatMap((r) => r.tokens);
  const perToken = {
    mask: tokens.map((t) => t.mask),
    logp: tokens.map((t) => t.logp),
    logp_old: tokens.map((t) => t.old),
    logp_ref: tokens.map((t) => t.old),
    logp_rollout: tokens.map((t) => t.old),
    entropy: tokens.map((t) => -t.old / 100),
    value: tokens.map((t) => t.reward),
    value_old: tokens.map((t) => -t.reward),
    reward_token: tokens.map((t) => t.reward),
    turn: rows.flatMap((r) => r.tokens.map((_, k) => k >> 1)),
  };
  return Batch.from({
    lengths: rows.map((r) => r.tokens.length),
    group: rows.map((r) => ids.indexOf(r.group)),
    fields: { ...perToken, reward: rows.map((r) => r.reward), correct: rows.map((r) => Number(r.reward > 0)) },
    shapes: Object.fromEntries(Object.keys(perToken).map((name) => [name, "token" as const])),
    rewards: { first: rows.map((r) => r.reward), second: rows.map((r) => -r.reward) },
    raw: { pairs: rows.slice(1).map((_, k) => [k, k + 1]), prompt_stats: ids.map(() => [2, 1]) },
  });
}

/** Runs the recipe; a refusal must be a typed error. Returns every number that came out, by name. */
function everyNumber(recipe: Recipe, batch: Batch): Map<string, ArrayLike<number>> {
  const found = new Map<string, ArrayLike<number>>();
  try {
    const params = resolveParams(recipe);
    const prepared = prepare(recipe, params, batch);
    for (const [name, x] of Object.entries(prepared.metrics)) found.set(`metric ${name}`, [x]);
    if (prepared.advantage) found.set("advantage", prepared.advantage);
    if (prepared.weight) found.set("weight", prepared.weight);
    const step = objective(recipe, params, prepared.batch, {}, { state: prepared.state });
    found.set("loss", [step.loss]);
    for (const [name, field] of Object.entries(step.gradients)) found.set(`d${name}`, field.data);
    for (const [name, x] of Object.entries(step.metrics)) found.set(`metric ${name}`, [x]);
  } catch (error) {
    if (!(error instanceof CohortError)) throw error;
    expect(["bad-batch", "bad-config", "bad-input"], error.message).toContain(error.code);
  }
  return found;
}

function expectFinite(recipe: Recipe, batch: Batch): void {
  for (const [name, numbers] of everyNumber(recipe, batch)) {
    const at = Array.prototype.findIndex.call(numbers, (x: number) => !Number.isFinite(x));
    if (at >= 0) throw new Error(`${recipe.id}: ${name}[${at}] is ${numbers[at]}`);
  }
}

const token = fc.record({
  mask: fc.constantFrom(0, 1, 1),
  logp: fc.constantFrom(0, -1e-12, -0.7, -30, -1000),
  old: fc.constantFrom(0, -1e-12, -0.7, -30, -1000),
  reward: fc.constantFrom(-1, 0, 0.3, 1),
});
const row = (tokens: { minLength: number; maxLength: number }) =>
  fc.record({
    group: fc.nat(2),
    reward: fc.constantFrom(-1e6, -1, 0, 0, 0.1, 1, 1, 1e6),
    tokens: fc.array(token, tokens),
  });

/** Named shapes that have each broken some trainer. */
const one = { mask: 1, logp: -0.5, old: -0.6, reward: 1 };
const shapes: Record<string, Row[]> = {
  "one trajectory of one token": [{ group: 0, reward: 1, tokens: [one] }],
  "groups of one": [0, 1, 2].map((group) => ({ group, reward: group - 1, tokens: [one, { ...one, logp: -2 }] })),
  "equal rewards": [0, 0, 1, 1].map((group) => ({ group, reward: 0.1, tokens: [one] })),
  "no trained token": [0, 0, 1].map((group, i) => ({ group, reward: i, tokens: [{ ...one, mask: 0 }] })),
  "no token at all": [0, 0, 1].map((group, i) => ({ group, reward: i, tokens: [] })),
  "one trajectory without a token": [[one], [], [one, one]].map((tokens, i) => ({ group: 0, reward: i & 1, tokens })),
  "ratios of e^±1000": [0, 0, 1, 1].map((group, i) => ({
    group,
    reward: i & 1,
    tokens: [
      { ...one, logp: -1000, old: 0 },
      { ...one, logp: 0, old: -1000 },
    ],
  })),
};

describe.each([...recipeIds])("%s", (id) => {
  it("gives finite numbers, metrics included, or a typed error", async () => {
    const recipe = await loadRecipe(id);
    for (const rows of Object.values(shapes)) expectFinite(recipe, batchOf(rows));
    const any = fc.array(row({ minLength: 0, maxLength: 4 }), { minLength: 1, maxLength: 7 });
    fc.assert(
      fc.property(any, (rows) => expectFinite(recipe, batchOf(rows))),
      { numRuns: 12, seed: 20 },
    );
  });

  it("knows neither the order of trajectories nor the cut into micro-batches", async () => {
    const recipe = await loadRecipe(id);
    const params = resolveParams(recipe);
    for (const seed of [31, 32]) {
      const next = random(seed);
      const batch = madeUp(seed, { groups: 4 });
      let ready: Batch;
      let whole: ReturnType<typeof objective>;
      try {
        ready = prepare(recipe, params, batch).batch;
        whole = objective(recipe, params, ready);
      } catch (error) {
        if (error instanceof CohortError && error.code === "bad-batch") return;
        throw error;
      }
      const n = ready.trajectory.size;
      const order = Array.from({ length: n }, (_, i) => i);
      for (let i = n - 1; i > 0; i--) {
        const j = Math.floor((i + 1) * next());
        [order[i], order[j]] = [order[j], order[i]];
      }
      // Each trajectory's share of a gradient: Σ_t dlogp_t · ∂lp_t/∂θ with a made-up Jacobian that goes with the token.
      const share = (of: Batch, dlogp: Float64Array, i: number): number => {
        const old = of.fields.get("logp_old")!.data;
        let sum = 0;
        for (let t = of.offsets[i]; t < of.offsets[i + 1]; t++) sum += dlogp[t] * (1 + old[t] * old[t]);
        return sum;
      };
      const turned = ready.select(order);
      const again = objective(recipe, params, turned);
      expect(Math.abs(again.loss - whole.loss)).toBeLessThan(1e-10 * Math.max(1, Math.abs(whole.loss)));
      for (let micro = 1; micro <= n; micro++) {
        let [mine, theirs] = [0, 0];
        for (let from = 0; from < n; from += micro) {
          let [a, b] = [0, 0];
          for (let k = from; k < Math.min(from + micro, n); k++) {
            a += share(turned, again.dlogp, k);
            b += share(ready, whole.dlogp, order[k]);
          }
          expect(Math.abs(a - b)).toBeLessThan(1e-9 * Math.max(1, Math.abs(b)));
          mine += a;
          theirs += b;
        }
        expect(Math.abs(mine - theirs)).toBeLessThan(1e-9 * Math.max(1, Math.abs(theirs)));
      }
    }
  });
});

test("10^5 trajectories (10^4 without COHORT_ALL) under every recipe, all finite", { timeout: 300_000 }, async () => {
  const next = random(3);
  const draw = () => -3 * next();
  const rows: Row[] = Array.from({ length: all ? 1e5 : 1e4 }, (_, i) => ({
    group: i >> 3,
    reward: next() < 0.5 ? 0 : 1,
    tokens: Array.from({ length: Math.floor(3 * next()) }, () => ({ mask: 1, logp: draw(), old: draw(), reward: 0 })),
  }));
  const batch = batchOf(rows);
  for (const id of recipeIds) expectFinite(await loadRecipe(id), batch);
});

describe("replay refuses, and goes on with the next case", () => {
  const good = {
    group: [0, 0, 1],
    reward: [1, 0, 0.5],
    mask: [[1, 1], [1], [1, 0]],
    logp: [[-1, -2], [-0.5], [-3, -1]],
    logp_old: [[-1, -2], [-0.5], [-3, -1]],
  };
  const bad: [string, string, RegExp, object, object?][] = [
    ["a NaN reward", "bad-batch", /field 'reward', trajectory 1: NaN/, { reward: [1, Number.NaN, 0] }],
    ["an infinite reward", "bad-batch", /field 'reward', trajectory 2: Inf/, { reward: [1, 0, 1 / 0] }],
    [
      "logp above 0",
      "bad-batch",
      /field 'logp', trajectory 2, token 1: .*0.5 is above 0/,
      { logp: [[-1, -2], [-0.5], [-3, 0.5]] },
    ],
    [
      "a NaN logp_old",
      "bad-batch",
      /field 'logp_old', trajectory 1, token 0: NaN/,
      { logp_old: [[-1, -2], [Number.NaN], [-3, -1]] },
    ],
    [
      "a missing token",
      "bad-batch",
      /field 'logp_old', trajectory 2: 1 tokens, its length is 2/,
      { logp_old: [[-1, -2], [-0.5], [-3]] },
    ],
    ["too few rewards", "bad-batch", /field 'reward' has 2 entries for 3/, { reward: [1, 0] }],
    [
      "an unknown field",
      "bad-batch",
      /unknown field 'reward_tokens'.*'reward_token'/,
      { reward_tokens: [[0, 1], [0], [1, 1]] },
    ],
    ["a gap in the groups", "bad-batch", /no trajectory has group 1/, { group: [0, 0, 2] }],
    ["a group that is no number", "bad-batch", /'group' of trajectory 2 is 0.5/, { group: [0, 0, 0.5] }],
    ["an unknown parameter", "bad-config", /parameter 'eps_low'.*did you mean 'eps_lo'/, {}, { eps_low: 0.1 }],
    ["a parameter out of range", "bad-config", /parameter 'eps_lo' is 2/, {}, { eps_lo: 2 }],
  ];
  test("each by its own sentence", async () => {
    const results: string[] = [];
    for (const [name, , , batch, params] of bad) {
      for (const given of [{ batch: { ...good, ...batch }, params }, { batch: good }]) {
        try {
          const { outputs } = await replay({ system: "grpo", case: name, ...given } as Parameters<typeof replay>[0]);
          results.push(`loss ${outputs["loss"]}`);
        } catch (error) {
          expect(error, name).toBeInstanceOf(CohortError);
          results.push(`${(error as CohortError).code}: ${(error as CohortError).message}`);
        }
      }
    }
    bad.forEach(([name, code, sentence], k) => {
      expect(results[2 * k], name).toMatch(sentence);
      expect(results[2 * k].startsWith(code), results[2 * k]).toBe(true);
      expect(results[2 * k + 1]).toMatch(/^loss -?\d/);
    });
  });
});

describe("health", () => {
  test("is exact where the policy drew the samples itself, and measured where it did not", async () => {
    const grpo = await loadRecipe("grpo");
    const params = resolveParams(grpo);
    const rows = [0, 1, 1, 0].map((reward, i) => ({
      group: i >> 1,
      reward,
      tokens: [
        { ...one, logp: -0.5 - i / 3, old: -0.5 - i / 3 },
        { ...one, mask: i & 1, logp: -0.1, old: -0.1 },
      ],
    }));
    const { batch, metrics: before } = prepare(grpo, params, batchOf(rows));
    const { metrics } = objective(grpo, params, batch);
    for (const name of ["ratio", "rollout_corr/rollout_is_mean", "rollout_corr/rollout_is_eff_sample_size"]) {
      expect(metrics[name], name).toBe(1);
    }
    for (const name of [
      "kl",
      "ppo_kl",
      "rollout_corr/kl",
      "rollout_corr/k3_kl",
      "clip_ratio/low_mean",
      "clip_ratio/high_mean",
    ]) {
      expect(metrics[name], name).toBe(0);
    }
    expect(before["frac_reward_zero_std"]).toBe(0);
    expect(before["rewards/first/mean"]).toBe(0.5);
    expect(before["rewards/second/std"]).toBeCloseTo(Math.sqrt(1 / 3), 14);

    // One step away: two of six trained tokens move, by +ln 2 and −ln 4.
    const moved = batch.fields.get("logp_old")!.data.slice();
    moved[2] += Math.log(2);
    moved[6] -= Math.log(4);
    const away = objective(grpo, params, batch, { logp: moved }).metrics;
    const weights = [1, 2, 1, 1, 0.25, 1];
    const mean = weights.reduce((a, b) => a + b) / 6;
    expect(away["ratio"]).toBeCloseTo(mean, 12);
    expect(away["rollout_corr/rollout_is_mean"]).toBeCloseTo(mean, 12);
    expect(away["rollout_corr/kl"]).toBeCloseTo((Math.log(4) - Math.log(2)) / 6, 12);
    expect(away["rollout_corr/k3_kl"]).toBeCloseTo(mean - 1 + Math.log(2) / 6, 12);
    const ess = mean ** 2 / (weights.reduce((a, b) => a + b * b, 0) / 6);
    expect(away["rollout_corr/rollout_is_eff_sample_size"]).toBeCloseTo(ess, 12);
    // A > 0 in trajectory 1, whose ratio 2 is above 1.2; A < 0 in trajectory 3, whose ratio 1/4 is below 0.8.
    expect(away["clip_ratio/high_mean"]).toBeCloseTo(1 / 6, 14);
    expect(away["clip_ratio/low_mean"]).toBeCloseTo(1 / 6, 14);
    expect(away["clip_ratio/region_mean"]).toBeCloseTo(2 / 6, 14);
  });

  test("a value that knows the return explains all of it; one that knows nothing, nothing", async () => {
    const grpo = await loadRecipe("grpo");
    const params = resolveParams(grpo);
    const explained = (value: (reward: number) => number): number | undefined => {
      const rows = [0, 1, 3, 0].map((reward, i) => ({
        group: i >> 1,
        reward,
        tokens: [{ ...one, reward: value(reward) }, one],
      }));
      const masked = rows.map((r) => ({ ...r, tokens: [r.tokens[0], { ...one, mask: 0 }] }));
      return prepare(grpo, params, batchOf(masked)).metrics["critic/vf_explained_var"];
    };
    expect(explained((r) => r)).toBeCloseTo(1, 14);
    expect(explained(() => 0.5)).toBeCloseTo(0, 14);
    expect(explained((r) => -r)).toBeCloseTo(-3, 12);
  });

  test("derivatives go where the caller says", async () => {
    const grpo = await loadRecipe("grpo");
    const params = resolveParams(grpo);
    const { batch } = prepare(grpo, params, madeUp(5));
    const logp = new Float64Array(batch.token.size);
    const plain = objective(grpo, params, batch).dlogp;
    expect(objective(grpo, params, batch, {}, { into: { logp } }).dlogp).toBe(logp);
    expect(logp).toEqual(plain);
  });
});

describe("degenerate cases give what the table says", () => {
  test.each(degenerateCases.map((d) => [d.primitive, d] as const))("%s", (_, { compute, expected }) => {
    const c = new Context(Batch.fromCase(degenerateBatch), { differentiate: ["logp"] });
    const values = [...compute(c).values()];
    c.close();
    expect(values.length).toBe(expected.length);
    values.forEach((x, i) => {
      expect(Math.abs(x - expected[i]), `${x} for ${expected[i]} at ${i}`).toBeLessThanOrEqual(
        1e-14 * Math.max(1, Math.abs(expected[i])),
      );
    });
  });
  test("the table has a row for each", () => {
    expect(degenerateTable().split("\n").length).toBe(degenerateCases.length + 3);
  });
});
