/** The command line on Deno from the source as it is: a run, permissions that are missing, the conformance table. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { bunProgram, denoProgram, runProgram } from "../support/runtimes.ts";

const folder = mkdtempSync(join(tmpdir(), "cohort-deno-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const config = join(folder, "config.json");
writeFileSync(
  config,
  JSON.stringify({
    task: { name: "sort", length: 3, shaping: 0.5 },
    model: { config: { hiddenSize: 16, layers: 1, heads: 2, kvHeads: 1, headDim: 8, intermediateSize: 16 } },
    promptsPerStep: 2,
    rolloutsPerPrompt: 4,
    maxTokens: 4,
    steps: 2,
    evalPrompts: 0,
  }),
);
writeFileSync(join(folder, "reward.mjs"), "export default ({ completion }) => completion.length;\n");
writeFileSync(join(folder, "prompts.jsonl"), '{"prompt":"a"}\n{"prompt":"b"}\n{"prompt":"c"}\n');

const program = denoProgram();
const deno = (flags: string[], ...args: string[]) => runProgram(program!, ["run", ...flags, "hosts/deno.ts", ...args]);

describe.skipIf(!program)(`Deno${program ? "" : " (skipped: its npm package is absent)"}`, () => {
  test("train writes a run folder, with exactly the permissions it needs", async () => {
    const out = join(folder, "run");
    const done = await deno(["--allow-read", `--allow-write=${folder}`], "train", config, "--out", out, "--json");
    expect(done.code, done.err).toBe(0);
    expect(done.err).not.toMatch(/Requires|unexpected/);
    expect(JSON.parse(done.out.trim().split("\n").at(-1)!)).toMatchObject({ done: true, steps: 2, run: out });
    for (const name of ["config.json", "metrics.jsonl", "report.html"]) expect(existsSync(join(out, name))).toBe(true);
  });

  test("a reward file of the user's own", async () => {
    const task = `task={"prompts":"prompts.jsonl","reward":"reward.mjs"}`;
    const args = [
      "train",
      config,
      "--set",
      task,
      "--set",
      "model.tokenizer=byte",
      "--out",
      join(folder, "own"),
      "--json",
    ];
    const done = await deno(["-A"], ...args);
    expect(done.code, done.err).toBe(0);
    expect(JSON.parse(done.out.split("\n")[0])["rewards/reward/mean"]).toBeGreaterThan(0);
  });

  test("a permission that is missing, in one line", async () => {
    for (const flags of [[], ["--allow-read"]]) {
      const done = await deno(["--no-prompt", ...flags], "train", config, "--out", join(folder, "refused"));
      expect(done.code).toBeGreaterThan(0);
      expect(done.err.trim().split("\n").length).toBe(1);
      expect(done.err).toMatch(/^cohort: .*Requires (read|write) access to/);
    }
  });

  test("conformance on WASM: every kernel exact", async () => {
    const done = await deno(["--allow-read"], "conformance", "--backend", "wasm", "--threads", "1", "--json");
    expect(done.code, done.err).toBe(0);
    const lines = done.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({ done: true, exact: true });
    expect(lines.length).toBeGreaterThan(20);
    for (const { failed, digest, golden } of lines.slice(0, -1)) expect([failed, digest]).toEqual([[], golden]);
  });
});

const bun = bunProgram();
test.skipIf(!bun)("conformance under JavaScriptCore (Bun): every kernel exact", async () => {
  const done = await runProgram(bun!, ["hosts/cli.ts", "conformance", "--backend", "wasm", "--threads", "2"]);
  expect(done.code, done.err).toBe(0);
  expect(done.out).toContain("all exact");
});
