/** @file The conformance page: kernel × digest × golden for WASM and for WebGPU, then three training steps on each. */
import { type BrowserEngine, CohortError, createEngine, parseConfig } from "../browser.ts";

/** What the page found, for programs that open it. */
interface Found {
  backend: string;
  device: string;
  kernels: { kernel: string; digest: string; golden: string; failed: string[] }[];
  training?: string;
  /** why there is nothing, or why it ended early */
  error?: string;
}

const query = new URLSearchParams(location.search);
const status = document.querySelector("#status")!;
const results = document.querySelector("#results")!;
const found: Found[] = [];
Object.assign(globalThis, { conformance: { found, done: false } });
document.querySelector("#browser")!.textContent = navigator.userAgent;

function section(title: string): { line(text: string): HTMLElement; row(...cells: string[]): HTMLTableRowElement } {
  const heading = document.createElement("h2");
  heading.textContent = title;
  const table = document.createElement("table");
  results.append(heading, table);
  return {
    line(text) {
      const paragraph = document.createElement("p");
      paragraph.textContent = text;
      results.append(paragraph);
      return paragraph;
    },
    row(...cells) {
      const row = table.insertRow();
      for (const cell of cells) row.insertCell().textContent = cell;
      return row;
    },
  };
}

/** Small enough for a software adapter. */
const trained = parseConfig({
  task: { name: "sort", length: 3, shaping: 0.5 },
  model: { config: { hiddenSize: 24, layers: 2, heads: 3, kvHeads: 1, headDim: 8, intermediateSize: 40 } },
  promptsPerStep: 2,
  rolloutsPerPrompt: 4,
  maxTokens: 4,
  steps: 3,
  learningRate: 0.002,
  evalPrompts: 0,
  out: "conformance",
  seed: 3,
});

async function backend(name: "wasm" | "webgpu"): Promise<void> {
  const out = section(name === "wasm" ? "WASM" : "WebGPU");
  const entry: Found = { backend: name, device: "", kernels: [] };
  found.push(entry);
  let engine: BrowserEngine | undefined;
  try {
    engine = await createEngine({ backend: name, threads: 1, storage: "memory", probe: false });
    entry.device = engine.device;
    out.line(engine.device);
    out.row("kernel", "cases", "digest", "golden", "bits");
    await engine.conformance!((row) => {
      entry.kernels.push(row);
      status.textContent = `${name}: ${row.kernel}`;
      const bits = row.failed.length === 0 ? "exact" : `differs: ${row.failed.join("; ")}`;
      const shown = out.row(row.kernel, String(row.cases), row.digest, row.golden, bits);
      if (row.failed.length > 0) shown.cells[4].className = "wrong";
    });
    status.textContent = `${name}: training`;
    const { digest } = await engine.train(trained, {});
    entry.training = digest;
    out.line(`3 training steps: digest ${digest}`).id = `training-${name}`;
  } catch (error) {
    entry.error = (error as Error).message;
    out.line(entry.error);
    if (!(error instanceof CohortError)) throw error;
  } finally {
    await engine?.close();
  }
}

await backend("wasm");
if (query.get("backend") !== "wasm") await backend("webgpu");
const wrong = found.flatMap(({ kernels }) => kernels.filter(({ failed }) => failed.length > 0));
const digests = new Set(found.flatMap(({ training }) => training ?? []));
status.textContent =
  wrong.length > 0
    ? `Not exact: ${wrong.map(({ kernel }) => kernel).join(", ")}.`
    : digests.size > 1
      ? "Every kernel is exact, but the training runs differ."
      : "All exact.";
Object.assign(globalThis, { conformance: { found, done: true } });
