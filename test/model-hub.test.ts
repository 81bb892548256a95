import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { downloadModel, type HubProgress, isHubId } from "../hosts/hub.ts";

let server: Server;
let endpoint: string;
let cache: string;
let requests: { url: string; range?: string; authorization?: string }[];
let files: Record<string, Buffer>;
/** Answers that come before the plain one, by path. */
let special: Record<string, (request: IncomingMessage, response: ServerResponse) => void>;
const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, k) => k % 251));

beforeEach(async () => {
  requests = [];
  special = {};
  files = { "config.json": Buffer.from("{}"), "tokenizer.json": Buffer.from("{}"), "model.safetensors": weights };
  server = createServer((request, response) => {
    const { range, authorization } = request.headers;
    requests.push({ url: request.url!, range, authorization });
    const name = request.url!.replace("/owner/name/resolve/main/", "");
    if (special[name]) return special[name](request, response);
    const body = files[name];
    if (!body) return response.writeHead(404).end("no");
    const from = range && request.headers["if-range"] === '"v1"' ? Number(/bytes=(\d+)-/.exec(range)![1]) : 0;
    if (from >= body.length) return response.writeHead(416).end();
    response.writeHead(from > 0 ? 206 : 200, {
      etag: '"v1"',
      "content-length": body.length - from,
      ...(from > 0 && { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` }),
    });
    return response.end(body.subarray(from));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  cache = await mkdtemp(join(tmpdir(), "cohort-hub-"));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  await rm(cache, { recursive: true, force: true });
});

const download = (options = {}) => downloadModel("owner/name", { endpoint, cache, token: "", ...options });
const refusal = async (work: Promise<unknown>): Promise<CohortError> => {
  const error = await work.then(
    () => new Error("nothing was refused"),
    (caught) => caught,
  );
  expect(error).toBeInstanceOf(CohortError);
  return error as CohortError;
};

describe("downloadModel", () => {
  test("brings what is there, tells progress, and asks for nothing twice", async () => {
    const seen: HubProgress[] = [];
    const folder = await download({ onProgress: (progress: HubProgress) => seen.push(progress) });
    expect(folder).toBe(join(cache, "owner--name", "main"));
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true);
    expect(seen.at(-1)).toEqual({ file: "tokenizer.json", received: 2, total: 2 });
    expect(seen.filter(({ file }) => file === "model.safetensors").at(-1)).toEqual({
      file: "model.safetensors",
      received: 300_000,
      total: 300_000,
    });
    requests = [];
    await download();
    expect(
      requests.filter(
        ({ url }) =>
          /config.json$|model.safetensors$|\/tokenizer.json$/.test(url) && !/generation|adapter|tokenizer_/.test(url),
      ),
    ).toEqual([]);
  });

  test("shards come by their index, the token goes along", async () => {
    delete files["model.safetensors"];
    files["model.safetensors.index.json"] = Buffer.from(
      '{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}',
    );
    files["model-1.safetensors"] = Buffer.from("one");
    files["model-2.safetensors"] = Buffer.from("two");
    const folder = await download({ token: "secret" });
    expect(await readFile(join(folder, "model-2.safetensors"), "utf8")).toBe("two");
    expect(requests.every(({ authorization }) => authorization === "Bearer secret")).toBe(true);
    expect(requests.filter(({ url }) => url.endsWith("model-1.safetensors"))).toHaveLength(1);
  });

  test("an index that leads out of the folder is refused", async () => {
    delete files["model.safetensors"];
    files["model.safetensors.index.json"] = Buffer.from('{"weight_map":{"a":"../../x.safetensors"}}');
    expect((await refusal(download())).message).toMatch(/is not an index of shards/);
  });

  test("a download that broke off goes on where it stopped", async () => {
    special["model.safetensors"] = (_, response) => {
      response.writeHead(200, { etag: '"v1"', "content-length": weights.length });
      // The end of the connection comes after the bytes, never before them.
      response.write(weights.subarray(0, 100_000), () => response.socket!.end());
    };
    const error = await refusal(download());
    expect(error.code).toBe("io");
    expect(error.message).toMatch(/model.safetensors: the connection broke after \d+ bytes.*start again/);
    special = {};
    requests = [];
    const folder = await download();
    expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true);
    const range = requests.find(({ url }) => url.endsWith("/model.safetensors"))!.range!;
    expect(Number(/bytes=(\d+)-/.exec(range)![1])).toBeGreaterThan(0);
    expect((await readdir(folder)).filter((name) => name.includes(".part"))).toEqual([]);
  });

  test("where the file has changed meanwhile, or the part is too long, it starts afresh", async () => {
    const folder = await download();
    for (const [part, tag] of [
      [Buffer.alloc(50, 9), '"v0"'],
      [Buffer.alloc(weights.length + 5), '"v1"'],
    ] as const) {
      await rm(join(folder, "model.safetensors"));
      await writeFile(join(folder, "model.safetensors.part"), part);
      await writeFile(join(folder, "model.safetensors.part.etag"), tag);
      await download();
      expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true);
    }
  });

  test("gated, missing, broken, unreachable: one clear sentence each", async () => {
    const answer = (status: number) => (_: IncomingMessage, response: ServerResponse) =>
      response.writeHead(status).end();
    special["config.json"] = answer(401);
    expect((await refusal(download())).message).toMatch(
      /owner\/name: config.json: the hub refused access \(401\) — .*set HF_TOKEN/,
    );
    special["config.json"] = answer(403);
    expect((await refusal(download({ token: "t" }))).message).toMatch(/\(403\) — accept the model's terms/);
    special["config.json"] = answer(404);
    expect((await refusal(download())).message).toMatch(/config.json: not found at http/);
    special["config.json"] = answer(503);
    expect((await refusal(download())).message).toMatch(/the hub answered 503/);
    special = {};
    delete files["model.safetensors"];
    expect((await refusal(download())).message).toMatch(/neither model.safetensors nor its index/);
    const closed = createServer();
    await new Promise<void>((ready) => closed.listen(0, "127.0.0.1", ready));
    const { port } = closed.address() as AddressInfo;
    await new Promise((done) => closed.close(done));
    const offline = downloadModel("owner/other", { cache, endpoint: `http://127.0.0.1:${port}` });
    expect((await refusal(offline)).message).toMatch(/cannot reach 127.0.0.1:\d+ \(ECONNREFUSED\) — check the network/);
  });

  test("what is no hub id is refused before anything is asked", async () => {
    for (const id of ["name", "a/b/c", "../x", "/a/b", "a/..", "./b", "a b/c"]) {
      expect(isHubId(id)).toBe(false);
      expect((await refusal(downloadModel(id, { endpoint, cache }))).code).toBe("bad-config");
    }
    expect((await refusal(downloadModel("a/b", { endpoint, cache, revision: "../x" }))).message).toMatch(
      /bad revision/,
    );
    expect(requests).toEqual([]);
    expect(isHubId("HuggingFaceTB/SmolLM2-135M")).toBe(true);
  });
});
