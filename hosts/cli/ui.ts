/** @file `cohort ui`: serves the page on this machine, with the headers that let it use threads. */
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { CohortError } from "../../core/errors.ts";
import { type Arguments, type Command, type Io, numberOption, textOption } from "./command.ts";

const PORT = 7317;

export const ui: Command = {
  summary: "the page: train, watch and compare in a browser",
  help: `usage: cohort ui [--port N] [--host NAME]

Serves the page on this machine and prints its address. Models and runs stay in the browser that opens it; Ctrl-C ends it.
The page's folder (dist/page) can also be put on any static server.

  --port N      default: ${PORT}, or another one where that is taken; 0: any free one
  --host NAME   what it listens on (default: 127.0.0.1, this machine alone). With 0.0.0.0 a phone
                in the same network reaches it too; over http it has one thread and no WebGPU
`,
  options: { port: { type: "string" }, host: { type: "string" } },
  run,
};

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
};

/** The built page: beside the program, above its chunk, or in dist where the source runs. */
function pageFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const found = ["page", "../page", "../../dist/page"].map((path) => join(here, path));
  const folder = found.find((path) => existsSync(join(path, "main.js")));
  if (folder) return folder;
  throw new CohortError("io", `ui: the page is not built (looked in ${found.join(", ")})`, "run npm run build");
}

/** Serves the folder's own files and nothing above it. */
export function pageServer(folder: string): Server {
  return createServer((request, response) => {
    let path: string;
    try {
      path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    } catch {
      response.writeHead(400).end();
      return;
    }
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD" }).end();
      return;
    }
    if (!file.startsWith(join(folder, "/")) || !statSync(file, { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404, { "Content-Type": "text/plain" }).end("not found\n");
      return;
    }
    response.writeHead(200, {
      "Content-Type": types[extname(file)] ?? "application/octet-stream",
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
      "Cross-Origin-Resource-Policy": "same-origin",
      "Cache-Control": "no-cache",
      "X-Content-Type-Options": "nosniff",
    });
    if (request.method === "HEAD") response.end();
    else createReadStream(file).pipe(response);
  });
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** What a browser writes to reach it, this machine first. */
function namesOf(host: string): string[] {
  if (host === "127.0.0.1") return ["localhost"];
  if (host !== "0.0.0.0" && host !== "::") return [host.includes(":") ? `[${host}]` : host];
  const others = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return ["localhost", ...others.filter((at) => at.family === "IPv4" && !at.internal).map((at) => at.address)];
}

async function run(args: Arguments, io: Io): Promise<number> {
  const asked = numberOption(args, "port", { min: 0, max: 65535, whole: true });
  const host = textOption(args, "host") ?? "127.0.0.1";
  const server = pageServer(pageFolder());
  try {
    await listen(server, asked ?? PORT, host).catch((error: NodeJS.ErrnoException) => {
      if (asked !== undefined || error.code !== "EADDRINUSE") throw error;
      return listen(server, 0, host);
    });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "it is taken" : message;
    throw new CohortError(
      "io",
      `ui: cannot listen on ${host}, port ${asked ?? PORT}: ${reason}`,
      "give another --port",
      {
        cause,
      },
    );
  }
  const { port } = server.address() as AddressInfo;
  for (const name of namesOf(host)) io.out(`http://${name}:${port}/\n`);
  if (io.terminal) io.out("Open it in a browser; Ctrl-C ends the server, the page goes on without it.\n");
  await new Promise<void>((resolve) => {
    io.onInterrupt(resolve);
  });
  server.closeAllConnections();
  server.close();
  return 0;
}
