/** The bench's harness and command line, without peers and without measuring anything. */
import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { bench, measureFigure, plan, type Section, table } from "./bench/harness.ts";
import { wasmKernels } from "./bench/kernels.ts";
import { help, parseOptions } from "./bench/options.ts";
import { policyOptimisation } from "./bench/rl.ts";
import { grpoStep, training } from "./bench/training.ts";
import { webgpu } from "./bench/webgpu.ts";

const sections = [policyOptimisation, wasmKernels, training, grpoStep, webgpu];
const ids = [...sections.map(({ id }) => id), "curves"];
const parse = (line: string) => parseOptions(line.split(" ").filter(Boolean), ids);

/** Gives the values one after the other; `calls` keeps the order in which sides were asked. */
const script = (side: string, values: number[], calls: string[] = []) => {
  const left = [...values];
  return async () => {
    calls.push(side);
    return left.shift() ?? Number.NaN;
  };
};

const fake: Section = {
  id: "fake",
  what: "numbers that are known",
  names: () => ["product", "step"],
  async run(figure) {
    const peers = { Peer: script("peer", [0, 5, 4, 6]), "ours, slow": script("slow", [0, 8, 8, 8]) };
    const targets = { best: 1.5, sides: { Peer: 3 } };
    await figure("product", "GFLOP/s", script("ours", [0, 10, 9, 11]), peers, { targets });
    await figure("step", "ms", script("ours", [0, 10, 10, 10]), {}, { targets: { value: 10 }, on: "a device" });
  },
};

describe("options", () => {
  test("flags, sections and their values", () => {
    const all = parse("training rl --json --only 4.9 --rounds 3 --processor-time --hardware");
    expect(all).toMatchObject({ sections: ["training", "rl"], json: true, only: "4.9", rounds: 3 });
    expect(all).toMatchObject({ processorTime: true, hardware: true, help: false });
    expect(parse("")).toMatchObject({ sections: [], json: false, only: null, rounds: 7 });
    expect(parse("--rounds=2").rounds).toBe(2);
  });
  test.each([
    ["--onyl x", "did you mean --only"],
    ["--Json", "did you mean --json"],
    ["kernel", "did you mean kernels"],
    ["nothing-like-it", "--help"],
    ["--only", "without a value"],
    ["--only --json", "without a value"],
    ["--json=yes", "takes no value"],
    ["--rounds 0", 'is "0"'],
    ["--rounds many", 'is "many"'],
  ])("refuses %s", (line, said) => {
    expect(() => parse(line)).toThrow(CohortError);
    expect(() => parse(line)).toThrow(said);
  });
  test("help names every section and flag", () => {
    const text = help(sections);
    for (const { id } of sections) expect(text).toContain(`\n  ${id} `);
    for (const flag of ["help", "json", "only TEXT", "rounds N", "list", "hardware", "processor-time"]) {
      expect(text).toContain(`--${flag}`);
    }
  });
});

describe("plan", () => {
  test.each([false, true])("names are there once (processor time: %s)", (processorTime) => {
    const names = [...plan(sections, { ...parse(""), processorTime }).values()].flat();
    expect(names.length).toBeGreaterThan(30);
    expect(new Set(names).size).toBe(names.length);
  });
  test("--only and sections choose", () => {
    const chosen = plan(sections, parse("--only stories260K"));
    expect([...chosen.keys()].map(({ id }) => id)).toEqual(["kernels", "training", "webgpu"]);
    expect([...plan(sections, parse("training --only stories260K")).keys()]).toEqual([training]);
  });
  test("--only that matches nothing is refused", () => {
    expect(() => plan(sections, parse("--only nothing-like-it"))).toThrow(/in no figure's name — .*--list/);
    expect(() => plan(sections, parse("--only GRPPO"))).toThrow('did you mean "GRPO"');
    expect(() => plan(sections, parse("rl --only sampling"))).toThrow(CohortError);
  });
});

describe("figures", () => {
  test("sides take turns; the first round does not count; the median and the ends do", async () => {
    const calls: string[] = [];
    const peers = { Peer: script("peer", [900, 4, 6, 5], calls) };
    const f = await measureFigure(3, "x", "GFLOP/s", script("ours", [1, 10, 30, 20], calls), peers);
    expect(calls).toEqual(["ours", "peer", "ours", "peer", "ours", "peer", "ours", "peer"]);
    expect(f).toMatchObject({ ours: 20, spread: [10, 30], peers: { Peer: 5 }, spreads: { Peer: [4, 6] }, ratio: 4 });
  });
  test("the ratio is against the best peer, above 1 where ours is better, and not against our own variants", async () => {
    const sides = { A: async () => 20, B: async () => 40, "ours, other": async () => 1 };
    const time = await measureFigure(1, "x", "ms", async () => 10, sides);
    expect(time).toMatchObject({ ratio: 2, ratios: { A: 2, B: 4, "ours, other": 0.1 } });
    const rate = await measureFigure(1, "x", "tokens/s", async () => 10, sides);
    expect(rate).toMatchObject({ ratio: 0.25, ratios: { A: 0.5, B: 0.25, "ours, other": 10 } });
  });
  test("a peer that fails is left out with its reason; ours may not fail", async () => {
    const fails = async (): Promise<number> => {
      throw new Error("no kernel");
    };
    const f = await measureFigure(
      1,
      "x",
      "s",
      async () => 1,
      { A: fails, B: async () => 3 },
      { leftOut: { C: "loss" } },
    );
    expect(f).toMatchObject({ peers: { B: 3 }, leftOut: { A: "failed: no kernel", C: "loss" } });
    expect(table(f).join("\n")).toContain("A: left out: failed: no kernel");
    await expect(measureFigure(1, "x", "s", fails)).rejects.toThrow("no kernel");
  });
});

test("the table says ratios and which targets are met", async () => {
  const lines: string[] = [];
  await bench([fake], { ...parse("--rounds 3") }, (line) => lines.push(line));
  const text = lines.join("\n");
  expect(text).toMatch(
    /Peer +5\.00 GFLOP\/s .* ours is 2\.00 × as fast \(ours, slow: 1\.60 ×\) \[at least 3: missed\]/,
  );
  expect(text).toMatch(/^product .*2\.00 × the best peer \[at least 1\.5: met\]$/m);
  expect(text).toMatch(/^step, a device .*\[at least 10: met\]$/m);
  expect(text).toContain("Targets met: 2 of 3");
  expect(text).toContain("missed: product against Peer: 2.00, at least 3 asked");
});

test("--json prints a line a figure with all that was measured", async () => {
  const lines: string[] = [];
  await bench([fake], parse("--json --rounds 3 --only product"), (line) => lines.push(line));
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    {
      name: "product",
      unit: "GFLOP/s",
      ours: 10,
      spread: [9, 11],
      peers: { Peer: 5, "ours, slow": 8 },
      spreads: { Peer: [4, 6], "ours, slow": [8, 8] },
      ratio: 2,
      ratios: { Peer: 2, "ours, slow": 1.25 },
      targets: [
        { of: "best of the peers", target: 1.5, value: 2, met: true },
        { of: "Peer", target: 3, value: 2, met: false },
      ],
      leftOut: {},
    },
  ]);
});

test("a section that does not name its figure is a mistake", async () => {
  const wrong: Section = { ...fake, names: () => ["step"] };
  await expect(bench([wrong], parse("--json"), () => {})).rejects.toThrow('does not name its figure "product"');
});
