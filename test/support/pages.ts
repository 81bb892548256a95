/** @file What pages load in tests, built afresh, and a server for it on this machine. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "../..");
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
};

/** What pages of playwright and of puppeteer have in common. */
export interface Page {
  // biome-ignore lint/suspicious/noExplicitAny: each library has its own messages; only text and kind are read.
  on(event: "console" | "pageerror", listener: (what: any) => void): unknown;
  goto(url: string): Promise<unknown>;
  evaluate(text: string): Promise<unknown>;
}

/**
 * Opens a page and calls one of the functions of test/hosts/page.ts there.
 * @returns its result, and what the console complained of
 */
export async function callPage<T>(page: Page, url: string, name: string, args: readonly unknown[]) {
  const complaints = listen(page);
  await page.goto(url);
  const script = JSON.stringify(new URL("./test.js", url).href);
  // A text: the test runner rewrites imports inside functions.
  const call = `import(${script}).then(() => globalThis.cohortTest[${JSON.stringify(name)}](...${JSON.stringify(args)}))`;
  return { value: (await page.evaluate(call)) as T, complaints };
}

/** What the console of a page complains of, from now on. */
export function listen(page: Page): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return complaints;
}

export interface Pages {
  /** An empty page. Isolated: with the headers that let threads share memory. */
  url(isolated: boolean, path?: string): string;
  close(): void;
}

/**
 * Serves the built package's pages under /plain/ and, cross-origin isolated, under /isolated/; `folders` under their names.
 */
export async function servePages(folders: Record<string, string> = {}): Promise<Pages> {
  const built = mkdtempSync(join(tmpdir(), "cohort-pages-"));
  execFileSync(process.execPath, [join(root, "hosts/build.mjs"), "browser", built], { cwd: root, stdio: "pipe" });
  await build({
    entryPoints: [join(root, "test/hosts/page.ts")],
    outfile: join(built, "test.js"),
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
  });
  const server = createServer((request, response) => {
    const [, zone, ...rest] = normalize(decodeURIComponent(new URL(request.url!, "http://x").pathname)).split("/");
    const folder = zone === "plain" || zone === "isolated" ? (folders[rest[0]] ?? built) : null;
    const path = folders[rest[0]] ? rest.slice(1) : rest;
    if (zone === "isolated") {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    if (path.join("/") === "empty.html") {
      response.setHeader("Content-Type", "text/html");
      response.end('<!doctype html><title>test</title><link rel="icon" href="data:,">');
      return;
    }
    try {
      const data = readFileSync(join(folder ?? "", ...path));
      response.setHeader("Content-Type", types[extname(path.at(-1)!)] ?? "application/octet-stream");
      response.end(data);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: (isolated, path = "empty.html") => `http://127.0.0.1:${port}/${isolated ? "isolated" : "plain"}/${path}`,
    close() {
      server.closeAllConnections();
      server.close();
      rmSync(built, { recursive: true, force: true });
    },
  };
}
