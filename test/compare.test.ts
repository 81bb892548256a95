/** Comparing recipes: configurations with one seed list and one compute, curves and outcomes with intervals, the page. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ComparedRun, comparedRecipes, compareRuns, comparisonConfigs } from "../core/compare.ts";
import { comparisonReport } from "../core/compare-report.ts";
import { parseConfig } from "../core/config.ts";
import { stepMetrics } from "../core/log.ts";
import { loadRecipe } from "../core/recipe.ts";
import { memoryStorage } from "../core/storage.ts";
import type { Io } from "../hosts/cli/command.ts";
import { main } from "../hosts/cli/main.ts";
import type { CpuDevice } from "../hosts/cpu.ts";
import { builtInTask, makeEngine } from "../hosts/engine.ts";
import { cpu } from "./support/devices.ts";

const tiny = {
  task: { name: "sort", length: 3 },
  model: { config: { hiddenSize: 8, layers: 1, heads: 2, kvHeads: 1, intermediateSize: 12 } },
  recipe: "grpo",
  params: { eps_lo: 0.1 },
  promptsPerStep: 2,
  rolloutsPerPrompt: 4,
  maxTokens: 4,
  steps: 3,
  evalPrompts: 4,
  evalSamples: 2,
  checkpointEvery: 0,
  seed: 5,
};

describe("notes", () => {
  const runOf = (recipe: string, seed: number, digest: string, zero: number): ComparedRun => ({
    recipe,
    seed,
    digest,
    eval: { before: null, after: null },
    metrics: [stepMetrics({ step: 1, reward: 0.5, frac_reward_zero_std: zero, grad_norm: 1 - zero })],
  });
  const once = { miniBatches: 1, epochsPerBatch: 1 };

  test("recipes that are the same run, runs that learn nothing, few seeds", () => {
    const pair = (recipe: string, digest: string, zero: number) =>
      [1, 2].map((s) => runOf(recipe, s, digest + s, zero));
    const runs = [...pair("grpo", "a", 0), ...pair("gspo", "a", 0), ...pair("rloo", "b", 1)];
    const { notes } = compareRuns(runs, once);
    expect(notes[0]).toMatch(/^gspo and grpo end with the same weights in every seed: with one optimiser step/);
    expect(notes[1]).toMatch(/^rloo had nothing to learn from/);
    expect(notes[2]).toMatch(/^2 seeds/);
    expect(compareRuns(runs, { ...once, miniBatches: 2 }).notes[0]).not.toMatch(/optimiser step/);
  });

  test("none where seeds are enough and digests differ", () => {
    const seeds = [1, 2, 3, 4, 5];
    const runs = ["grpo", "gspo"].flatMap((r) => seeds.map((s) => runOf(r, s, r + s, 0)));
    expect(compareRuns(runs, once).notes).toEqual([]);
  });
});

describe("the configurations", () => {
  const made = comparisonConfigs(tiny, {
    recipes: ["grpo", "gspo"],
    seeds: 2,
    sets: ["steps=7", "gspo:params.eps_hi=0.01"],
    out: "folder",
    base: "/base",
  });
  test("differ in nothing but recipe, its parameters, seed and folder", () => {
    expect(made.map(({ recipe, seed }) => [recipe, seed])).toEqual([
      ["grpo", 5],
      ["grpo", 6],
      ["gspo", 5],
      ["gspo", 6],
    ]);
    const rest = made.map(({ config }) => ({ ...config, recipe: "", params: {}, seed: 0, out: "" }));
    for (const other of rest) expect(other).toEqual(rest[0]);
    expect(rest[0].steps).toBe(7);
    expect(new Set(made.map(({ config }) => config.out)).size).toBe(4);
  });
  test("hand the file's params to its own recipe alone", () => {
    expect(made[0].config.params).toEqual({ eps_lo: 0.1 });
    expect(made[2].config.params).toEqual({ eps_hi: 0.01 });
  });
  test.each([
    [{ recipes: [], seeds: 2 }, /no recipe/],
    [{ recipes: ["grpo", "grpo"], seeds: 2 }, /'grpo' is named twice/],
    [{ recipes: ["grpo"], seeds: 2 }, /grpo alone has nothing to be compared with — .*--recipes grpo,dapo/],
    [{ recipes: ["grpo", "rloo"], seeds: 1 }, /seeds is 1/],
    [{ recipes: ["grpo", "rloo"], seeds: 2, sets: ["gspo:steps=1"] }, /'gspo' is not compared/],
  ])("refuse %j", (given, message) => {
    expect(() => comparisonConfigs(tiny, { ...given, out: "x", base: "/" })).toThrow(message);
  });
});

describe("the recipes", () => {
  const planned = (...sets: string[]) =>
    comparisonConfigs(tiny, { recipes: ["grpo", "gspo"], seeds: 2, sets, out: "x", base: "/" });

  test("have their paper, formula, parameters as used with their defaults, and the settings that differ", async () => {
    const [grpo, gspo] = await comparedRecipes(
      planned("gspo:params.eps_hi=0.01", "gspo:learningRate=0.5", "grpo:kl=k3"),
    );
    expect([grpo.id, gspo.id]).toEqual(["grpo", "gspo"]);
    expect(gspo.paper.arxiv).toBe("2507.18071");
    expect(gspo.formula).toBe((await loadRecipe("gspo")).formula);
    expect(gspo.params["eps_hi"]).toEqual({ value: 0.01, default: 0.0004 });
    expect(gspo.params["eps_lo"]).toEqual({ value: 0.0003, default: 0.0003 });
    expect(grpo.params["eps_lo"]).toEqual({ value: 0.1, default: 0.2 });
    const rate = planned()[0].config.learningRate;
    expect(grpo.settings).toEqual({ kl: "k3", learningRate: rate });
    expect(gspo.settings).toEqual({ kl: null, learningRate: 0.5 });
  });

  test("stand in the report: what is not the default is marked, a paper has its link", async () => {
    const page = async (...sets: string[]) => {
      const compared = await comparedRecipes(planned(...sets));
      const runs = ["grpo", "gspo"].flatMap((recipe) =>
        [5, 6].map((seed) => ({ recipe, seed, digest: "d", metrics: [], eval: { before: null, after: null } })),
      );
      return comparisonReport(compareRuns(runs), planned()[0].config, compared);
    };
    const set = await page("gspo:params.eps_hi=0.01", "gspo:temperature=0.5");
    expect(set).toContain("<b>eps_hi = 0.01</b> <small>default 0.0004</small>");
    expect(set).toContain("eps_lo = 0.0003<br>");
    expect(set).toContain(
      'Group Sequence Policy Optimization, <a href="https://arxiv.org/abs/2507.18071">arXiv 2507.18071</a>',
    );
    expect(set).toContain("s_i = exp(mean_t(lp − lp_old))");
    expect(set).toContain('<tr><th class="mono">temperature</th><td class="mono">1</td><td class="mono">0.5</td></tr>');
    expect(await page()).toContain("All other settings are the same");
  });

  test("a parameter that a recipe does not have is refused before anything is trained", async () => {
    await expect(comparedRecipes(planned("gspo:params.epshi=1"))).rejects.toThrow(/'gspo', parameter 'epshi'/);
  });
});

describe("curves and outcomes", () => {
  const run = (recipe: string, seed: number, rewards: number[]): ComparedRun => ({
    recipe,
    seed,
    metrics: rewards.map((reward, k) => stepMetrics({ step: k + 1, reward, num_tokens: 100 * (k + 1) })),
    eval: { before: null, after: null },
    digest: `${recipe}${seed}`,
  });
  const compared = compareRuns([
    run("a", 1, [0, 1, 2]),
    run("a", 2, [0, 3, 4]),
    run("b", 1, [1, 2, 3]),
    run("b", 2, [1, 4, 5]),
  ]);
  test("are means over seeds with Student's intervals", () => {
    const { reward } = compared.curves;
    expect(reward.a.map((p) => p.mean)).toEqual([0, 2, 3]);
    expect(reward.a[0]).toMatchObject({ low: 0, high: 0 });
    // Two seeds: t = 12.706, s/√n = 1.
    expect(reward.a[1].high - reward.a[1].mean).toBeCloseTo(12.706, 9);
  });
  test("differences are seed by seed, from the first recipe", () => {
    const end = compared.outcomes["reward, last tenth"];
    expect(end.a.difference).toBeNull();
    expect(end.b.value!.mean).toBe(4);
    expect(end.b.difference).toEqual({ mean: 1, low: 1, high: 1 });
    expect(compared.outcomes["pass@1 after"]).toBeUndefined();
    expect(compared.digests).toEqual({ a: ["a1", "a2"], b: ["b1", "b2"] });
  });
  test("the page has a line and a band for each recipe, loads nothing, and escapes", () => {
    const config = parseConfig({ ...tiny, task: { prompts: "<i>.jsonl", reward: "r.mjs" } }, { base: "/" });
    const page = comparisonReport(compared, config, []);
    expect(page).not.toMatch(/<script|src=|<link|<i>/);
    const reward = /<figure><figcaption><span>reward<.*?<\/figure>/s.exec(page)![0];
    // Two seeds: no band, and it says so.
    expect(reward.match(/<path /g)!.length).toBe(2);
    expect(page).toContain("Too few seeds for bands");
    expect(page).toContain("3 [-9.71, 15.7]");
    const more = ["a", "b"].flatMap((r) => [1, 2, 3, 4].map((s) => run(r, s, [0, s, 2 * s])));
    const banded = comparisonReport(compareRuns(more), config, []);
    expect(/<figure><figcaption><span>reward<.*?<\/figure>/s.exec(banded)![0].match(/<path /g)!.length).toBe(4);
  });
});

describe("cohort compare", () => {
  let device: CpuDevice;
  beforeAll(async () => {
    device = await cpu(1);
  });
  afterAll(() => device.close());

  async function run(argv: string[]) {
    const storage = memoryStorage({ "/work/c.json": JSON.stringify(tiny) });
    const seen = { out: "", err: "" };
    let clock = 0;
    const parts = { device, numeric: device, storage, clock: () => clock++, threads: 1, taskSource: builtInTask };
    const io = {
      out(text: string) {
        seen.out += text;
      },
      err(text: string) {
        seen.err += text;
      },
      terminal: false,
      columns: 100,
      env: {},
      cwd: "/work",
      storage,
      now: () => clock++,
      onInterrupt: () => () => {},
      engine: async () =>
        makeEngine({ ...parts, doctor: async () => ({ adapters: [], auto: "wasm" }), close: () => {} }),
      recipe: loadRecipe,
      runtime: "test",
    } as unknown as Io;
    const code = await main(["compare", ...argv], io);
    return { code, ...seen, storage };
  }

  test("trains each recipe with each seed, twice to the same numbers", async () => {
    const argv = ["/work/c.json", "--recipes", "grpo,gspo", "--seeds", "2", "--out", "/work/both", "--json"];
    const first = await run(argv);
    expect(first.err).toBe("");
    expect(first.code).toBe(0);
    const lines = first.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((l) => [l.recipe, l.seed])).toEqual([
      ["grpo", 5],
      ["grpo", 6],
      ["gspo", 5],
      ["gspo", 6],
      [undefined, undefined],
    ]);
    const last = lines[4];
    expect(last.curves.reward.gspo.length).toBe(3);
    // The same seeds: both recipes start from the same weights and draw the same first rollouts.
    expect(last.curves.reward.gspo[0]).toEqual(last.curves.reward.grpo[0]);
    expect(last.outcomes["pass@1 before"].gspo.difference.mean).toBe(0);
    expect(await first.storage.exists("/work/both/report.html")).toBe(true);
    expect((await run(argv)).out).toBe(first.out);
  });
  test("prints curves and outcomes for people", async () => {
    const { code, out } = await run([
      ...["/work/c.json", "--recipes", "grpo,dapo", "--seeds", "2", "--set", "steps=2"],
      ...["--set", "dapo:params.eps_hi=0.3"],
    ]);
    expect(code).toBe(0);
    expect(out).toMatch(/reward at step +grpo +dapo/);
    expect(out).toMatch(/reward, last tenth/);
    expect(out).toContain("grpo: params.eps_lo = 0.1 (default 0.2)\ndapo: params.eps_hi = 0.3 (default 0.28)\n");
    expect(out).toContain("report ");
  });
  test("refuses no recipes, one alone and unknown ones", async () => {
    const alone = await run(["/work/c.json", "--recipes", "grpo"]);
    expect(alone.code).toBe(2);
    expect(alone.err).toMatch(/compare: grpo alone has nothing to be compared with/);
    expect((await run(["/work/c.json"])).err).toMatch(/compare: no recipe/);
    expect((await run(["/work/c.json", "--recipes", "grpo,gspoo"])).err).toMatch(/unknown recipe 'gspoo'.*'gspo'/);
  });
});
