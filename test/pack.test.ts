/**
 * The package as it is handed out: packed, installed in four fresh projects (Node, a Vite build, a plain page, Deno), each
 * trains and all end with the same digest; its declarations are complete and are what docs/api-surface.md lists; it is
 * small; importing it does nothing.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { type BuildOptions, build as bundle } from "esbuild";
import type { Browser } from "playwright-core";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openChromium } from "./support/chromium.ts";
import { commandsOf, installPacked, projectOf, root } from "./support/pack.ts";
import { listen } from "./support/pages.ts";
import { denoProgram } from "./support/runtimes.ts";

const work = mkdtempSync(join(tmpdir(), "cohort-pack-"));
const base = join(work, "base");
let files: string[];
let chromium: Browser | null;
let server: Server;
let wanted: string;

const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

beforeAll(async () => {
  files = installPacked(base);
  server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://x").pathname));
    try {
      const data = readFileSync(join(work, path));
      response.setHeader("Content-Type", types[extname(path)] ?? "application/octet-stream");
      response.end(data);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  chromium = await openChromium();
  wanted = digestIn(run("npm", ["start"], projectOf("node", base, join(work, "node"))));
}, 120_000);
afterAll(async () => {
  await chromium?.close();
  server?.closeAllConnections();
  server?.close();
  rmSync(work, { recursive: true, force: true });
}, 60_000);

function run(program: string, args: string[], cwd: string): string {
  return execFileSync(program, args, { cwd, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
}

function digestIn(text: string): string {
  const found = /digest ([0-9a-f]{16})/.exec(text);
  if (!found) throw new Error(`no digest in: ${text}`);
  return found[1];
}

/** What a page of the work folder has said at its end, and what its console complained of. */
async function inPage(path: string, port = (server.address() as AddressInfo).port): Promise<string> {
  const context = await chromium!.newContext();
  try {
    const page = await context.newPage();
    const complaints = listen(page);
    await page.goto(`http://127.0.0.1:${port}/${path}`);
    await page.waitForFunction(`/digest/.test(document.querySelector("#log").textContent)`, null, { timeout: 40_000 });
    expect(complaints).toEqual([]);
    return (await page.textContent("#log"))!;
  } finally {
    await context.close();
  }
}

describe("four fresh projects train, with one digest", () => {
  test("Node: the reward rises", () => {
    const said = run(process.execPath, ["main.js"], join(work, "node"));
    expect(digestIn(said)).toBe(wanted);
    const rewards = [...said.matchAll(/reward ([\d.]+)/g)].map((m) => Number(m[1]));
    expect(rewards.length).toBe(12);
    expect(rewards.slice(-3).reduce((a, b) => a + b)).toBeGreaterThan(rewards.slice(0, 3).reduce((a, b) => a + b));
  });

  const deno = denoProgram();
  test.skipIf(!deno)(`Deno, through npm:${deno ? "" : " (skipped: its npm package is absent)"}`, () => {
    const folder = projectOf("deno", base, join(work, "deno"));
    expect(digestIn(run(deno!, ["run", "-A", "main.js"], folder))).toBe(wanted);
  });

  // What the example's `npm run build` and `npm run dev` run; its `npm i` would fetch Vite.
  test("Vite's build and its development server, in Chromium", async () => {
    const folder = projectOf("vite", base, join(work, "vite"));
    const { build, createServer } = await import("vite");
    await build({ root: folder, logLevel: "error" });
    if (!chromium) return;
    expect(digestIn(await inPage("vite/dist/index.html"))).toBe(wanted);
    const dev = await createServer({ root: folder, logLevel: "error", server: { port: 0 } });
    try {
      await dev.listen();
      expect(digestIn(await inPage("", (dev.httpServer!.address() as AddressInfo).port))).toBe(wanted);
    } finally {
      await dev.close();
    }
  });

  test("a plain page, in Chromium", async () => {
    projectOf("html", base, join(work, "html"));
    if (chromium) expect(digestIn(await inPage("html/index.html"))).toBe(wanted);
  });
});

describe("the sandbox beyond Node: a right program, an endless one, one that hangs in the interpreter", () => {
  const script = (entry: string, tell: string) => `
    import { codeTests } from "${entry}";
    const tests = ["f(2) === 4", "f(3) === 6", "typeof fetch === 'undefined'"];
    const score = (completion, options) =>
      codeTests(options)({ prompt: "", completion, completionIds: [], row: { prompt: "", tests } });
    const hang = "const f = () => [].lastIndexOf.call({ length: 2 ** 53 - 1 }, 1)";
    const scores = [
      await score("const f = (x) => 2 * x"),
      await score("for (;;);", { work: 20 }),
      await score(hang, { seconds: 0.5 }),
      await score("const f = (x) => 4"),
    ];
    ${tell}(\`scores \${scores.map((x) => x.toFixed(2)).join()}, digest 0123456789abcdef\`);`;
  const wantedScores = "scores 1.00,0.00,0.00,0.67,";

  test.skipIf(!denoProgram())("Deno", () => {
    const folder = join(work, "sandbox");
    mkdirSync(folder, { recursive: true });
    symlinkSync(join(base, "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), readFileSync(join(base, "package.json")));
    writeFileSync(join(folder, "main.mjs"), script("npm:cohort/rewards", "console.log"));
    expect(run(denoProgram()!, ["run", "-A", "main.mjs"], folder)).toContain(wantedScores);
  });

  test("Chromium", async () => {
    if (!chromium) return;
    const page = script("./node_modules/cohort/dist/rewards.js", "document.querySelector('#log').append");
    const html = `<!doctype html><link rel="icon" href="data:,"><p id="log"></p><script type="module">${page}</script>`;
    writeFileSync(join(base, "sandbox.html"), html);
    expect(await inPage("base/sandbox.html")).toContain(wantedScores);
  });
});

describe("the commands of the examples' READMEs, from the installed package", () => {
  /** A command as it is written, and what shortens it; the last line of its JSON. */
  const last = (command: string, folder: string, ...more: string[]) => {
    const [program, ...args] = command.split(" ");
    expect(program).toBe("npx");
    const lines = run("npx", ["--offline", ...args, ...more, "--json"], folder)
      .trim()
      .split("\n");
    return JSON.parse(lines.at(-1)!);
  };

  test.each(["maths", "json", "code"])("%s: checked, then trained", (name) => {
    const folder = projectOf(name, base, join(work, name));
    const [check, train, ...rest] = commandsOf(name);
    expect(rest).toEqual([]);
    const { statistics } = last(check, folder);
    expect(Object.keys(statistics).length).toBe(2);
    expect(statistics.reward).toMatchObject({ min: 0, max: 1 });
    const done = last(train, folder, "--set", "steps=2", "--set", "evalPrompts=0");
    expect(done).toMatchObject({ done: true, steps: 2 });
  });

  test("compare: every recipe, with seeds", () => {
    const folder = projectOf("compare", base, join(work, "compare"));
    const [command, ...rest] = commandsOf("compare");
    expect(rest).toEqual([]);
    const sets = ["steps=1", "warmStart.steps=1", "evalPrompts=0"].flatMap((set) => ["--set", set]);
    const { recipes, seeds } = last(command, folder, ...sets, "--seeds", "2");
    expect(recipes).toEqual(["grpo", "grpo-dr", "gspo", "cispo", "rloo"]);
    expect(seeds).toEqual([0, 1]);
  });
});

describe("what is handed out", () => {
  test("built files, declarations, licence; no source, tests or models", () => {
    for (const name of ["LICENSE", "README.md", "dist/THIRD-PARTY.txt", "dist/cli.js", "dist/browser-worker.js"])
      expect(files).toContain(name);
    expect(files.filter((f) => !/^(dist\/|README|LICENSE|CHANGELOG|package\.json)/.test(f))).toEqual([]);
    const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    for (const [name, target] of Object.entries<string | Record<string, string>>(exports)) {
      for (const path of typeof target === "string" ? [target] : Object.values(target)) {
        const file = path.slice(2).replace("*", "grpo");
        expect(files, name).toContain(file);
      }
    }
  });

  test("importing it does nothing: no global, no timer, no handle, no output", () => {
    const script = `
      const names = () => Reflect.ownKeys(globalThis).map(String).sort().join();
      const before = names();
      for (const entry of ${JSON.stringify(entries)}) await import(entry);
      if (names() !== before) throw new Error("globals: " + names());

      const left = process.getActiveResourcesInfo().filter((r) => !/Wrap|Req|Pipe|TTY/.test(r));
      if (left.length > 0) throw new Error("left: " + left);
      process.on("exit", () => console.log("quiet"));
    `;
    writeFileSync(join(base, "imports.mjs"), script);
    expect(run(process.execPath, ["imports.mjs"], base)).toBe("quiet\n");
  });

  test("an app that takes one name gets no more than that", async () => {
    const bytes = async (contents: string) => {
      const { outputFiles } = await bundle({ ...bundling, stdin: { contents, resolveDir: base } });
      return outputFiles![0].contents.length;
    };
    // Without the promise of package.json ("sideEffects"): the modules themselves leave nothing to keep.
    expect(await bytes('import "cohort"; import "cohort/rewards"; import "cohort/log";')).toBe(0);
    expect(await bytes('import { passAtK } from "cohort"; console.log(passAtK)')).toBeLessThan(3000);
  });
});

const entries = ["cohort", "cohort/node", "cohort/browser", "cohort/rewards", "cohort/log", "cohort/recipes/grpo"];
const bundling = {
  bundle: true,
  minify: true,
  write: false,
  format: "esm" as const,
  platform: "node" as const,
  outdir: "out",
  logLevel: "silent" as const,
  external: ["webgpu", "mathjs", "hyparquet"],
} satisfies BuildOptions;

describe("size, minified, WASM included, recipes left out", () => {
  /** Bytes that an app loads: what it names, and one of the two WASM builds; recipes, tokenizers and GPU come on demand. */
  async function loaded(contents: string): Promise<{ bytes: number; recipes: string[] }> {
    const { metafile } = await bundle({
      ...bundling,
      stdin: { contents, resolveDir: base },
      splitting: true,
      metafile: true,
    });
    const { outputs } = metafile!;
    const seen = new Set<string>();
    const walk = (name: string) => {
      if (seen.has(name)) return;
      seen.add(name);
      for (const { path, kind, external } of outputs[name].imports) {
        if (!external && (kind === "import-statement" || /wasm-kernels-(?!relaxed)/.test(path))) walk(path);
      }
    };
    walk(Object.keys(outputs).find((name) => outputs[name].entryPoint === "<stdin>")!);
    expect([...seen].filter((name) => name.includes("wasm-kernels")).length).toBe(1);
    const inputs = [...seen].flatMap((name) => Object.keys(outputs[name].inputs));
    return {
      bytes: [...seen].reduce((sum, name) => sum + outputs[name].bytes, 0),
      recipes: inputs.filter((name) => name.includes("/recipes/")),
    };
  }

  test("the core: four verbs, objective, replay, sampling on WASM", async () => {
    const names =
      "Session, Batch, prepare, objective, resolveParams, newModel, loadModel, modelConfig, generate, memoryStorage";
    const { bytes, recipes } = await loaded(
      `export { ${names} } from "cohort"; export { createDevice } from "cohort/node";`,
    );
    expect(recipes).toEqual([]);
    console.log(`core: ${bytes} bytes`);
    expect(bytes).toBeLessThan(250_000);
  });

  test("a whole engine: configuration, trainer, run folder, checkpoints, tasks", async () => {
    const { bytes } = await loaded('export { parseConfig } from "cohort"; export { createEngine } from "cohort/node";');
    console.log(`engine: ${bytes} bytes`);
    expect(bytes).toBeLessThan(375_000);
  });
});

test("declarations: a strict consumer without skipLibCheck; the names are those of docs/api-surface.md", async () => {
  const folder = join(work, "types");
  mkdirSync(folder);
  symlinkSync(join(base, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  const imports = entries.map((entry, i) => `export * as entry${i} from "${entry}";`).join("\n");
  writeFileSync(join(folder, "entries.ts"), imports);
  writeFileSync(join(folder, "consumer.ts"), consumer);
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    exactOptionalPropertyTypes: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"],
    types: [],
  };
  const program = ts.createProgram([join(folder, "entries.ts"), join(folder, "consumer.ts")], options);
  const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file ? `${file.fileName.slice(-60)}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1} ` : "";
    return line + ts.flattenDiagnosticMessageText(messageText, " ");
  });
  expect(problems).toEqual([]);

  const checker = program.getTypeChecker();
  const source = program.getSourceFile(join(folder, "entries.ts"))!;
  const lines = ["# API surface", "", SURFACE];
  for (const statement of source.statements.filter(ts.isExportDeclaration)) {
    const module = checker.getSymbolAtLocation(statement.moduleSpecifier!)!;
    const names = checker.getExportsOfModule(module).map((symbol) => {
      const flags = (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol).flags;
      return { name: symbol.name, value: (flags & ts.SymbolFlags.Value) !== 0 };
    });
    const listed = (value: boolean) =>
      names
        .filter((n) => n.value === value)
        .map((n) => `\`${n.name}\``)
        .sort()
        .join(", ");
    lines.push("", `## ${(statement.moduleSpecifier as ts.StringLiteral).text}`, "", listed(true) || "(no values)");
    if (listed(false)) lines.push("", `Types: ${listed(false)}`);
  }
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("../docs/api-surface.md");
}, 120_000);

const SURFACE = `What semantic versioning covers: the names below, their types, and the behaviour that their documentation states. A name
goes or changes its meaning only in a major version; before 1.0.0, in a minor one. The same holds for the keys of the
configuration, the commands of \`cohort\` with their \`--json\` output, the files of a run folder, and recipe ids. Everything
else (files under \`dist/chunks\`, names that no entry exports) may change at any time. The bits of a run are promised for one
version, not between versions.

This page is written by test/pack.test.ts (\`npx vitest run test/pack.test.ts -u\`). \`cohort/deno\` exports what
\`cohort/node\` does where Deno has it; each recipe is the default export of \`cohort/recipes/<id>\`.`;

const consumer = `
import { type StepMetrics, memoryStorage, parseConfig, type Storage } from "cohort";
import type { Logger } from "cohort/log";
import { createEngine, type HostEngine, type TrainingRun } from "cohort/node";

const storage: Storage = memoryStorage();
const logger: Logger = { onMetrics: (step, record) => void [step, record["reward"]] };
const engine: HostEngine = await createEngine({ threads: 1, storage, logger });
const run: TrainingRun = engine.start(parseConfig({ steps: 1 }), {
  task: { prompts: [{ prompt: "a" }], rewards: { size: (s) => s.completion.length, none: async () => null } },
  signal: new AbortController().signal,
});
for await (const metrics of run) {
  const m: StepMetrics = metrics;
  const reward: number | null = m.reward;
  if (reward === null) run.pause();
}
const digest: string = (await run.result).digest;
// @ts-expect-error a reward is a number or null
engine.start(parseConfig({}), { task: { prompts: [{ prompt: "a" }], rewards: () => "1" } });
export { digest };
`;
