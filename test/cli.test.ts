import { describe, expect, test } from "vitest";
import type { Engine, SampleOptions, ScoreOptions, TrainHooks } from "../core/api.ts";
import { describeConfig, type TrainConfig } from "../core/config.ts";
import { CohortError } from "../core/errors.ts";
import { type EvalResult, summarize } from "../core/evaluate.ts";
import { stepMetrics } from "../core/log.ts";
import { openRun } from "../core/run.ts";
import { memoryStorage } from "../core/storage.ts";
import type { Io } from "../hosts/cli/command.ts";
import { commands, main } from "../hosts/cli/main.ts";
import { close } from "../hosts/cli/replay.ts";

const evaluation = (right: number): EvalResult =>
  summarize(
    [
      {
        correct: Array.from({ length: 8 }, (_, i) => i < right),
        rewards: new Float64Array(8),
        answers: [..."abcdefgh"],
      },
    ],
    [{ prompt: "31>", completion: right > 4 ? "13" : "31", reward: right / 8, correct: right > 4 }],
  );

interface World extends Io {
  output: string;
  errors: string;
  configs: TrainConfig[];
  asked: { sample?: SampleOptions; score?: ScoreOptions };
  closed: number;
  interrupt?: () => void;
}

function world(files: Record<string, string> = {}, more: Partial<Io> & { train?: Engine["train"] } = {}): World {
  let clock = 0;
  const storage = memoryStorage(files);
  const it: World = {
    output: "",
    errors: "",
    configs: [],
    asked: {},
    closed: 0,
    out(text) {
      it.output += text;
    },
    err(text) {
      it.errors += text;
    },
    terminal: false,
    columns: 100,
    env: {},
    cwd: "/work",
    storage,
    now() {
      clock += 1000;
      return clock;
    },
    onInterrupt(callback) {
      it.interrupt = callback;
      return () => {};
    },
    replay: async (input) => {
      const { system, case: name, batch } = input as { system: string; case: string; batch: { reward: number[] } };
      if (system !== "grpo")
        throw new CohortError("unknown-recipe", `loadRecipe: unknown recipe "${system}"`, "see cohort list");
      expect(input).not.toHaveProperty("expected");
      return { system, case: name, outputs: { loss: batch.reward[0], advantage: batch.reward } };
    },
    recipeIds: async () => ["grpo", "dapo"],
    recipe: async (id) => {
      if (id !== "grpo" && id !== "dapo")
        throw new CohortError("unknown-recipe", `loadRecipe: "${id}"`, "see cohort list");
      return {
        id,
        paper: { title: `The ${id} paper`, arxiv: "1234.56789" },
        formula: "A = R − mean(R)",
        describe: "Plain.",
        params: { eps_lo: { default: 0.2, min: 0, doc: "clip range below 1" } },
      };
    },
    runtime: "test",
    engine: async () => ({
      async train(config: TrainConfig, hooks: TrainHooks) {
        it.configs.push(config);
        const run = await openRun(storage, config);
        hooks.onStart?.({
          run: run.dir,
          config,
          derived: describeConfig(config),
          device: "fake",
          parameters: 1000,
          trainable: 1000,
        });
        if (config.warmStart) hooks.onWarmStart?.({ step: 1, steps: 1, loss: 2 });
        hooks.onEval?.("before", evaluation(2));
        await run.appendEvaluation({ ...evaluation(2), step: 0, when: "before" });
        let step = 0;
        while (step < config.steps && !hooks.signal?.aborted) {
          step++;
          const metrics = stepMetrics({
            step,
            reward: step / 10,
            entropy: 1,
            kl: 0,
            tokens_per_second: 12345,
            digest: "d",
          });
          await run.appendMetrics(metrics);
          hooks.onStep?.(metrics);
          if (step === 2) it.interrupt?.();
          if (step === 2 && !config.resume) it.interrupt = undefined;
        }
        const interrupted = hooks.signal?.aborted === true;
        run.close();
        return {
          digest: "0123456789abcdef",
          steps: step,
          seconds: 61,
          reward: { first: 0.1, last: step / 10 },
          loss: { first: 0, last: 0.5 },
          eval: { before: evaluation(2), after: interrupted ? null : evaluation(8) },
          run: run.dir,
          checkpoint: `${run.dir}/checkpoints/step-${step}`,
          interrupted,
        };
      },
      evaluate: async () => evaluation(4),
      async *sample(options: SampleOptions) {
        it.asked.sample = options;
        for (let i = 0; i < (options.n ?? 1); i++)
          yield { text: ` world ${i}`, ids: [1, 2], logprob: [-0.5], finish: "stop" as const };
      },
      async score(options: ScoreOptions) {
        it.asked.score = options;
        return { logprob: [-1, -2], entropy: [0.1, 0.2], nll: 1.5, ...(options.grad && { grad_l2: { w: 3 } }) };
      },
      doctor: async () => ({
        adapters: [{ name: "swift", exact: false, failed: ["matmul"] }],
        auto: "wasm",
        notes: { threads: 2 },
      }),
      close: async () => void it.closed++,
    }),
    ...more,
  };
  return it;
}

/** Runs without the interrupt that the fake engine would raise. */
async function quiet(argv: string[], io: World): Promise<number> {
  io.onInterrupt = () => () => {};
  return main(argv, io);
}

describe("train", () => {
  test("prints a heading, a plain line a step, a table, samples, where things are", async () => {
    const io = world({ "/work/c.json": '{"steps":3,"out":"r"}', "c.json": '{"steps":3,"out":"r"}' });
    expect(await quiet(["train", "c.json"], io)).toBe(0);
    expect(io.output).toContain(
      "16 prompts × 8 rollouts = 128 trajectories, 1 optimiser steps of 128; 3 optimiser steps in all",
    );
    expect(io.output).toMatch(/step 3\/3 · reward 0\.3 · entropy 1 · KL 0 · 12\.3k tokens\/s/);
    expect(io.output).toMatch(/pass@1 +25\.0 % +100\.0 %/);
    expect(io.output).toContain("before  31   [reward 0.25]");
    expect(io.output).toContain("after   13   [reward 1]");
    expect(io.output).toContain("report /work/r/report.html");
    expect(io.output).not.toContain("\x1b");
    expect(new TextDecoder().decode(await io.storage.read("/work/r/report.html"))).toContain("<svg");
    expect(io.closed).toBe(1);
  });

  test("--json gives a line a step and the result last, nothing else", async () => {
    const io = world({ "c.json": '{"steps":2}' });
    expect(
      await quiet(["train", "c.json", "--json", "--out", "o", "--set", "warmStart.steps=1", "--seed", "9"], io),
    ).toBe(0);
    const lines = io.output
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l));
    expect(lines).toHaveLength(3);
    expect(lines.map((l) => l.step)).toEqual([1, 2, undefined]);
    expect(lines[2]).toMatchObject({
      done: true,
      digest: "0123456789abcdef",
      steps: 2,
      seconds: 61,
      reward: { first: 0.1, last: 0.2 },
      eval: { before: { "pass@1": 0.25, "pass@8": 1 }, after: { "pass@1": 1, "pass@8": 1 } },
      run: "o",
      checkpoint: "o/checkpoints/step-2",
      report: "o/report.html",
    });
    expect(Object.keys(lines[2])).not.toContain("interrupted");
    expect(lines[2].eval.before.samples).toBeUndefined();
    expect(io.configs[0]).toMatchObject({ seed: 9, out: "o", warmStart: { steps: 1 } });
  });

  test("without arguments it is the demonstration, which parses", async () => {
    const io = world();
    expect(await quiet(["train"], io)).toBe(0);
    expect(io.configs[0].warmStart?.steps).toBeGreaterThan(0);
    expect(io.output).toContain("run folder: runs/sort-grpo-0");
  });

  test("on a terminal the status is drawn over one line with a bar and an estimate", async () => {
    const io = world({ "c.json": '{"steps":4}' }, { terminal: true });
    expect(await quiet(["train", "c.json"], io)).toBe(0);
    expect(io.output).toContain("\r\x1b[2K██████████░░░░░░░░░░ 2/4 · reward 0.2 · ");
    expect(io.output).toMatch(/2\/4 .*ETA \d+s/);
  });

  test("Ctrl-C finishes, says how to continue, and ends with 1; --resume needs no configuration file", async () => {
    const io = world({ "c.json": '{"steps":5,"seed":3}' });
    expect(await main(["train", "c.json", "--out", "r"], io)).toBe(1);
    expect(io.output).toContain("finishing this step and writing a checkpoint");
    expect(io.output).toContain("stopped; to continue: cohort train --resume r");
    const piped = world({ "c.json": '{"steps":5}' });
    expect(await main(["train", "c.json", "--json"], piped)).toBe(1);
    const last = JSON.parse(piped.output.trim().split("\n").at(-1)!);
    expect(last).toMatchObject({ done: true, steps: 2, interrupted: true });
    expect(last.checkpoint).toBe(`${last.run}/checkpoints/step-2`);
    expect(await quiet(["train", "--resume", "r"], io)).toBe(0);
    expect(io.configs[1]).toMatchObject({ steps: 5, seed: 3, out: "r", resume: true });
  });

  describe("a run folder that was moved", () => {
    const project = {
      "/old/p/c.json": '{"model":"m","task":{"prompts":"data/a.jsonl","reward":"r.mjs"},"steps":1}',
      "/old/p/m/config.json": "{}",
      "/old/p/data/a.jsonl": "",
      "/old/p/r.mjs": "",
    };
    const started = async () => {
      const io = world(project);
      expect(await quiet(["train", "/old/p/c.json", "--out", "/old/p/runs/x"], io)).toBe(0);
      await io.storage.write("/old/p/runs/x/checkpoints/step-1/weights", "");
      return io;
    };
    const resume = (io: World, dir: string, ...more: string[]) => quiet(["train", "--resume", dir, ...more], io);
    const task = (io: World) => io.configs.at(-1)?.task;

    test("goes on where its files were moved with it, and eval finds them too", async () => {
      const io = await started();
      await io.storage.rename("/old/p", "/new/q");
      expect(await resume(io, "/new/q/runs/x")).toBe(0);
      expect(io.configs[1]).toMatchObject({ model: "/new/q/m", out: "/new/q/runs/x" });
      expect(task(io)).toMatchObject({ prompts: "/new/q/data/a.jsonl", reward: "/new/q/r.mjs" });
      expect(io.errors).toContain("task.prompts is no longer /old/p/data/a.jsonl; /new/q/data/a.jsonl is used");
      const config = JSON.parse(new TextDecoder().decode(await io.storage.read("/new/q/runs/x/config.json")));
      expect(config.task.prompts).toBe("/new/q/data/a.jsonl");
      expect(await main(["eval", "/new/q/runs/x"], io)).toBe(0);
    });

    test("alone: the paths that are still there are used as they are", async () => {
      const io = await started();
      await io.storage.rename("/old/p/runs/x", "/far/x");
      expect(await resume(io, "/far/x")).toBe(0);
      expect(task(io)).toMatchObject({ prompts: "/old/p/data/a.jsonl" });
      expect(io.errors).toBe("");
    });

    test("without its files it names each and how to give it, and changes nothing; then it goes on with them", async () => {
      const io = await started();
      await io.storage.rename("/old/p/runs/x", "/far/x");
      await io.storage.rename("/old/p", "/else/where");
      const before = new TextDecoder().decode(await io.storage.read("/far/x/config.json"));
      expect(await resume(io, "/far/x")).toBe(2);
      expect(io.errors).toBe(
        "cohort: /far/x/config.json: model /old/p/m, task.prompts /old/p/data/a.jsonl, task.reward /old/p/r.mjs are not " +
          "there, nor near the run — give the new place with --set model=PATH --set task.prompts=PATH --set " +
          "task.reward=PATH, or put them beside the run folder\n",
      );
      io.errors = "";
      expect(await main(["eval", "/far/x"], io)).toBe(2);
      expect(io.errors).toMatch(/config\.json: task\.prompts .* task\.reward \S+ are not there/);
      expect(new TextDecoder().decode(await io.storage.read("/far/x/config.json"))).toBe(before);
      // The model beside the run, the rest by name.
      await io.storage.rename("/else/where/m", "/far/m");
      const sets = ["--set", "task.prompts=/else/where/data/a.jsonl", "--set", "task.reward=/else/where/r.mjs"];
      expect(await resume(io, "/far/x", ...sets)).toBe(0);
      expect(io.configs[1].model).toBe("/far/m");
      expect(task(io)).toMatchObject({ prompts: "/else/where/data/a.jsonl", reward: "/else/where/r.mjs" });
    });

    test("is given no other file while its own is there, and no bare name from far above", async () => {
      const io = await started();
      await io.storage.write("/old/p/data/b.jsonl", "");
      expect(await resume(io, "/old/p/runs/x", "--set", "task.prompts=/old/p/data/b.jsonl")).toBe(2);
      expect(io.errors).toContain("cannot continue under another configuration: task.prompts was");
      await io.storage.rename("/old/p/runs/x", "/a/b/c/x");
      await io.storage.rename("/old/p/r.mjs", "/r.mjs");
      expect(await resume(io, "/a/b/c/x")).toBe(2);
      expect(io.errors).toContain("task.reward /old/p/r.mjs is not there");
    });
  });

  test("paths of a configuration are relative to its folder", async () => {
    const io = world({ "sub/c.json": '{"model":"../m","steps":1}' });
    expect(await quiet(["train", "sub/c.json"], io)).toBe(0);
    expect(io.configs[0].model).toBe("/work/m");
  });

  test.each([
    [
      ["train", "c.json"],
      { "c.json": '{"stpes":1}' },
      2,
      /^cohort: c\.json: stpes is not a key \(did you mean steps\?\) — /,
    ],
    [["train", "c.json"], { "c.json": '{\n"steps":\n}' }, 2, /^cohort: c\.json.*: not JSON: /],
    [["train", "c.json"], { "c.json": "[1]" }, 2, /got \[1\]/],
    [["train", "none.json"], {}, 1, /none\.json/],
    [["train", "a.json", "b.json"], {}, 2, /2 configurations/],
    [["train", "--sedd", "1"], {}, 2, /unknown option --sedd — did you mean --seed\?/],
    [["train", "--seed", "x"], {}, 2, /--seed "x" — give a whole number from 0/],
    [["train", "--precision", "16"], {}, 2, /--precision "16" — give one of 12, 24, fast/],
    [["train", "--threads", "0"], {}, 2, /^cohort: --threads "0" — give auto or a whole number from 1 to 64/],
    [["train", "--threads", "1.5"], {}, 2, /^cohort: --threads "1\.5" — give auto or a whole number from 1 to 64/],
    [["train", "--threads", "two"], {}, 2, /^cohort: --threads "two" — give auto or a whole number from 1 to 64/],
    [["train", "--threads", "65"], {}, 2, /^cohort: --threads "65" — give auto or a whole number from 1 to 64/],
    [["train", "--threads", "-1"], {}, 2, /^cohort: --threads "-1" — give auto or a whole number from 1 to 64/],
    [["train", "--seed", "-1"], {}, 2, /^cohort: --seed "-1" — give a whole number from 0 to 4294967295/],
    [["train", "--out", "--json"], {}, 2, /--out --json: no value, .* write --out=--json if it is the value/],
    [["train", "--json", "--out"], {}, 2, /train: --out has no value — give one/],
    [["doctor", "extra"], {}, 2, /^cohort: doctor: "extra" is no option, and doctor takes nothing else — leave it out/],
    [["ui", "extra"], {}, 2, /^cohort: ui: "extra"/],
    [["sample", "--model", "m", "--prompt", "hello", "there"], {}, 2, /^cohort: sample: "there"/],
    [["score", "ids.json", "--model", "m"], {}, 2, /^cohort: score: "ids\.json"/],
    [["doctor", "--backend", "wasm", "--adapter", "foo"], {}, 2, /--adapter "foo": --backend wasm uses no adapter/],
    [["train", "--set", "recipe=gropo"], {}, 2, /loadRecipe: "gropo"/],
    [["train", "--resume", "nowhere"], {}, 2, /nowhere: no config\.json, this is not a run folder/],
    [["train", "--out", "full"], { "full/x": "" }, 2, /run folder full: not empty \(x\) — give another --out/],
  ])("%j ends with one line and its exit code", async (argv, files, code, message) => {
    const io = world(files as unknown as Record<string, string>);
    expect(await quiet(argv, io)).toBe(code);
    expect(io.errors).toMatch(message);
    expect(io.errors.trim().split("\n")).toHaveLength(1);
    expect(io.output).toBe("");
  });

  test("an unexpected error is 1, with its stack only under COHORT_DEBUG, and the engine is closed", async () => {
    const broken = async () => {
      throw new TypeError("x is not a function");
    };
    for (const env of [{}, { COHORT_DEBUG: "1" }]) {
      const io = world({}, { env });
      const engine = await io.engine({});
      io.engine = async () => ({ ...engine, train: broken });
      expect(await quiet(["train"], io)).toBe(1);
      expect(io.errors).toContain("unexpected TypeError: x is not a function");
      expect(io.errors.includes("    at ")).toBe("COHORT_DEBUG" in env);
      expect(io.closed).toBe(1);
    }
  });
});

describe("eval, sample, score, doctor", () => {
  test("eval prints intervals, or JSON without sample texts", async () => {
    const io = world({ "c.json": "{}" });
    expect(await main(["eval", "c.json"], io)).toBe(0);
    expect(io.output).toMatch(/pass@1 +50\.0 % {2}\(50\.0 % – 50\.0 %\)/);
    io.output = "";
    expect(await main(["eval", "c.json", "--json"], io)).toBe(0);
    expect(JSON.parse(io.output)).toMatchObject({ "pass@1": 0.5, prompts: 1 });
    expect(await main(["eval"], io)).toBe(2);
  });

  test("eval of a run needs a checkpoint", async () => {
    const io = world({ "r/config.json": "{}" });
    expect(await main(["eval", "r"], io)).toBe(2);
    expect(io.errors).toContain("eval: r has no checkpoint");
    await io.storage.write("r/checkpoints/step-3/x", "");
    expect(await main(["eval", "r"], io)).toBe(0);
  });

  test("sample passes its options on and prints a line each", async () => {
    const io = world();
    const argv = [
      "sample",
      "--model",
      "m",
      "--prompt",
      "hello",
      "--n",
      "2",
      "--max-tokens",
      "7",
      "--temperature",
      "0",
      "--seed",
      "4",
      "--json",
    ];
    expect(await main(argv, io)).toBe(0);
    expect(io.asked.sample).toMatchObject({
      model: "m",
      prompt: "hello",
      n: 2,
      maxTokens: 7,
      temperature: 0,
      seed: 4,
      topP: 1,
    });
    expect(
      io.output
        .trim()
        .split("\n")
        .map((l) => JSON.parse(l).text),
    ).toEqual([" world 0", " world 1"]);
    expect(await main(["sample", "--model", "m"], io)).toBe(2);
    expect(await main(["sample", "--model", "m", "--prompt", "p", "--n", "0"], io)).toBe(2);
  });

  test("score reads ids, refuses what is none, and prints JSON", async () => {
    const io = world({ "ids.json": "[1,2,3]", "bad.json": "[1,-2]", "one.json": "[1]" });
    expect(
      await main(["score", "--model", "m", "--ids", "ids.json", "--precision", "24", "--grad", "--json"], io),
    ).toBe(0);
    expect(io.asked.score).toMatchObject({ model: "m", ids: [1, 2, 3], precision: 24, grad: true });
    expect(JSON.parse(io.output)).toEqual({ logprob: [-1, -2], entropy: [0.1, 0.2], nll: 1.5, grad_l2: { w: 3 } });
    for (const argv of [["--ids", "bad.json"], ["--ids", "one.json"], [], ["--ids", "ids.json", "--text", "t"]]) {
      expect(await main(["score", "--model", "m", ...argv], io)).toBe(2);
    }
    expect(io.errors).toContain("bad.json: id 1 is -2");
  });

  test("doctor", async () => {
    const io = world();
    expect(await main(["doctor"], io)).toBe(0);
    expect(io.output).toContain("swift    not exact: matmul");
    io.output = "";
    await main(["doctor", "--json"], io);
    expect(JSON.parse(io.output)).toMatchObject({
      adapters: [{ name: "swift", exact: false, failed: ["matmul"] }],
      auto: "wasm",
    });
  });
});

describe("replay", () => {
  const grpo = { system: "grpo", case: "a", batch: { reward: [1, 2] }, expected: { loss: 1, advantage: [1, 2.00001] } };
  const files = {
    "a.json": JSON.stringify(grpo),
    "miss.json": JSON.stringify({ ...grpo, case: "m", expected: { loss: 1.1 } }),
    "unknown.json": JSON.stringify({ ...grpo, system: "gropo" }),
    "broken.json": "{",
  };
  const lines = (io: World) =>
    io.output
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l));

  test("one line a case, going on after bad ones", async () => {
    const io = world(files);
    expect(await main(["replay", "unknown.json", "broken.json", "a.json", "miss.json"], io)).toBe(1);
    const [unknown, broken, ...rest] = lines(io);
    expect(unknown).toMatchObject({ system: "gropo", case: "a" });
    expect(unknown.error).toMatch(/unknown/);
    expect(broken.error).toMatch(/broken\.json.*not JSON/);
    expect(rest).toEqual([
      { system: "grpo", case: "a", outputs: { loss: 1, advantage: [1, 2] } },
      { system: "grpo", case: "m", outputs: { loss: 1, advantage: [1, 2] } },
    ]);
  });

  test("--check compares", async () => {
    const io = world(files);
    expect(await main(["replay", "a.json", "--check"], io)).toBe(0);
    expect(lines(io)[0].ok).toBe(true);
    expect(io.errors).toContain("1 of 1 cases right");
    io.output = "";
    expect(await main(["replay", "a.json", "miss.json", "--check"], io)).toBe(1);
    expect(lines(io)[1].misses).toEqual([{ output: "loss", got: 1, want: 1.1 }]);
    expect(await main(["replay"], io)).toBe(2);
  });

  test("comparison is relative above 1, absolute below, and strict in kind and length", () => {
    expect(close(1e6 + 5, 1e6, 1e-5)).toBe(true);
    expect(close(1e6 + 20, 1e6, 1e-5)).toBe(false);
    expect(close(0.00001, 0, 1e-5)).toBe(true);
    expect(close(0.00002, 0, 1e-5)).toBe(false);
    expect(close([1], [1, 2], 1e-5)).toBe(false);
    expect(close([1, 2], [1], 1e-5)).toBe(false);
    expect(close(1, true, 1e-5)).toBe(false);
    expect(close(Number.NaN, 1, 1e-5)).toBe(false);
    expect(close(undefined, { a: 1 }, 1e-5)).toBe(false);
    expect(close({ a: 1, b: 2 }, { a: 1 }, 1e-5)).toBe(true);
  });
});

describe("help and list", () => {
  test("every command has help, and train's names every key", async () => {
    for (const name of Object.keys(commands)) {
      const io = world();
      expect(await main([name, "--help"], io)).toBe(0);
      expect(io.output).toMatch(new RegExp(`^usage: cohort ${name}`));
      for (const option of Object.keys(commands[name].options)) {
        if (name !== "replay" && name !== "doctor") expect(io.output, `${name} --${option}`).toContain(`--${option}`);
      }
    }
    const io = world();
    await main(["train", "-h"], io);
    for (const key of ["promptsPerStep", "optimizer.maxGradNorm", "lora.targetModules"])
      expect(io.output).toContain(key);
  });

  test("usage, version, an unknown command", async () => {
    const io = world();
    expect(await main([], io)).toBe(0);
    expect(io.output).toContain("usage: cohort COMMAND");
    io.output = "";
    await main(["--version"], io);
    expect(io.output).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await main(["trian"], io)).toBe(2);
    expect(io.errors).toContain('did you mean "train"?');
  });

  test("list shows recipes and tasks, or one recipe with its parameters", async () => {
    const io = world();
    expect(await main(["list"], io)).toBe(0);
    expect(io.output).toMatch(/^2 recipes\ngrpo {2}train {3}The grpo paper \(arXiv 1234\.56789\)/);
    expect(io.output).toContain("countdown");
    io.output = "";
    await main(["list", "grpo"], io);
    expect(io.output).toMatch(/eps_lo +0\.2 +0 … ∞ +clip range below 1/);
    io.output = "";
    await main(["list", "--json"], io);
    expect(
      io.output
        .trim()
        .split("\n")
        .map((l) => JSON.parse(l).id),
    ).toEqual(["grpo", "dapo"]);
    expect(await main(["list", "none"], io)).toBe(2);
  });
});
