/**
 * @file Download of a model from the Hugging Face hub into a folder that `openModelDirectory` reads.
 *
 * Optional: a model's folder that is already on the disk needs none of this. Files arrive under a `.part` name; a
 * download that broke off goes on where it stopped, provided that the hub still has the same file (its ETag).
 */
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { CohortError } from "../core/errors.ts";

export interface HubProgress {
  readonly file: string;
  /** Bytes of this file on the disk, and its size where the hub says so. */
  readonly received: number;
  readonly total?: number;
}

export interface HubOptions {
  /** Branch, tag or commit. Default "main". */
  readonly revision?: string;
  /** Default: $COHORT_CACHE, or ~/.cache/cohort. */
  readonly cache?: string;
  /** Default: $HF_ENDPOINT, or https://huggingface.co. */
  readonly endpoint?: string;
  /** Needed for gated and private models. Default: $HF_TOKEN. */
  readonly token?: string;
  readonly onProgress?: (progress: HubProgress) => void;
  readonly signal?: AbortSignal;
}

const optional = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "adapter_config.json",
];

/** Whether a `model` setting is a hub id ("owner/name"), where no folder of that name exists. */
export function isHubId(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name) && !name.includes("..");
}

/**
 * Downloads config, tokenizer and safetensors files of a model; files that are there already are not asked for again.
 *
 * @param id "owner/name"
 * @returns the folder
 * @throws CohortError "bad-config" for a malformed id, "io" where the hub cannot be reached, refuses, or has no such
 * model or file
 */
export async function downloadModel(id: string, options: HubOptions = {}): Promise<string> {
  const { revision = "main", cache = process.env.COHORT_CACHE || join(homedir(), ".cache", "cohort") } = options;
  if (!isHubId(id)) {
    throw new CohortError("bad-config", `downloadModel: ${JSON.stringify(id)} is no hub id`, 'write it "owner/name"');
  }
  if (!/^[\w./-]+$/.test(revision) || revision.includes("..")) {
    throw new CohortError("bad-config", `downloadModel: bad revision ${JSON.stringify(revision)}`, 'try "main"');
  }
  const folder = join(cache, id.replace("/", "--"), revision.replaceAll("/", "--"));
  const get = (file: string, needed: boolean) => fetchFile(id, revision, file, folder, needed, options);

  await get("config.json", true);
  if (!(await get("model.safetensors", false))) {
    if (!(await get("model.safetensors.index.json", false))) {
      throw new CohortError(
        "io",
        `downloadModel: ${id} has neither model.safetensors nor its index`,
        "choose a model that is published as safetensors",
      );
    }
    for (const shard of await shardsOf(join(folder, "model.safetensors.index.json"))) await get(shard, true);
  }
  for (const file of optional) await get(file, false);
  return folder;
}

async function shardsOf(path: string): Promise<string[]> {
  try {
    const { weight_map: map } = JSON.parse(await readFile(path, "utf8"));
    const shards = [...new Set(Object.values(map as Record<string, string>))].sort();
    if (shards.length > 0 && shards.every((name) => /^[\w.-]+\.safetensors$/.test(name))) return shards;
  } catch {}
  await rm(path, { force: true });
  throw new CohortError("io", `downloadModel: ${path} is not an index of shards`, "start the download again");
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
const sizeOf = (path: string) =>
  stat(path).then(
    (entry) => entry.size,
    () => 0,
  );

async function fetchFile(
  id: string,
  revision: string,
  file: string,
  folder: string,
  needed: boolean,
  options: HubOptions,
): Promise<boolean> {
  const target = join(folder, file);
  if (await exists(target)) return true;
  const part = `${target}.part`;
  const tagFile = `${part}.etag`;
  const endpoint = (options.endpoint || process.env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
  const token = options.token ?? process.env.HF_TOKEN;
  const url = `${endpoint}/${id}/resolve/${encodeURIComponent(revision)}/${file}`;

  // Length and ranges must count the file's own bytes, so no compression on the way.
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (token) headers.authorization = `Bearer ${token}`;
  const tag = await readFile(tagFile, "utf8").catch(() => "");
  const had = tag === "" ? 0 : await sizeOf(part);
  if (had > 0) {
    headers.range = `bytes=${had}-`;
    headers["if-range"] = tag;
  }
  const where = `downloadModel: ${id}: ${file}`;
  const response = await request(url, headers, where, options.signal);
  if (response.status === 416) {
    // The part is as long as the file or longer: it is not to be trusted.
    await response.body?.cancel();
    await rm(tagFile, { force: true });
    return fetchFile(id, revision, file, folder, needed, options);
  }
  if (response.status === 404 && !needed) {
    await response.body?.cancel();
    return false;
  }
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw refusal(where, response.status, url, Boolean(token));
  }

  const resumed =
    response.status === 206 && new RegExp(`^bytes ${had}-`).test(response.headers.get("content-range") ?? "");
  if (response.status === 206 && !resumed) {
    await response.body.cancel();
    throw new CohortError("io", `${where}: the hub answered with another range than was asked for`, "start again");
  }
  const start = resumed ? had : 0;
  const length = response.headers.get("content-length");
  const total = length === null ? undefined : start + Number(length);
  await save(where, async () => {
    await mkdir(dirname(target), { recursive: true });
    const fresh = response.headers.get("etag") ?? "";
    // Only a strong validator promises the same bytes.
    if (!resumed) await (fresh.startsWith('"') ? writeFile(tagFile, fresh) : rm(tagFile, { force: true }));
  });
  const received = await receive(response.body, part, start, where, (bytes) =>
    options.onProgress?.({ file, received: bytes, ...(total !== undefined && { total }) }),
  );
  if (total !== undefined && received !== total) {
    throw new CohortError(
      "io",
      `${where}: the connection ended after ${received} of ${total} bytes`,
      "start again: it goes on from there",
    );
  }
  await save(where, async () => {
    await rename(part, target);
    await rm(tagFile, { force: true });
  });
  return true;
}

async function request(
  url: string,
  headers: Record<string, string>,
  where: string,
  signal: AbortSignal | undefined,
): Promise<Response> {
  try {
    return await fetch(url, { headers, signal });
  } catch (error) {
    if (signal?.aborted)
      throw new CohortError("interrupted", `${where}: stopped`, "start again to go on", { cause: error });
    const { cause, message } = error as Error;
    const why = (cause as NodeJS.ErrnoException)?.code ?? (cause as Error)?.message ?? message;
    throw new CohortError(
      "io",
      `${where}: cannot reach ${new URL(url).host} (${why})`,
      "check the network, or give a model's folder that is on this disk",
      { cause: error },
    );
  }
}

function refusal(where: string, status: number, url: string, withToken: boolean): CohortError {
  if (status === 401 || status === 403) {
    return new CohortError(
      "io",
      `${where}: the hub refused access (${status})`,
      withToken
        ? "accept the model's terms on its hub page with the account of your token"
        : "the model is gated, private or does not exist: accept its terms on its hub page and set HF_TOKEN",
    );
  }
  if (status === 404) {
    return new CohortError("io", `${where}: not found at ${url}`, "check the model's id and the revision");
  }
  return new CohortError("io", `${where}: the hub answered ${status}`, "try again later: it goes on where it stopped");
}

/** Appends the body to the part; what has arrived is on the disk even where the connection breaks. */
async function receive(
  body: ReadableStream<Uint8Array>,
  part: string,
  start: number,
  where: string,
  progress: (received: number) => void,
): Promise<number> {
  let received = start;
  const file = await save(where, () => open(part, start > 0 ? "a" : "w"));
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: Error) => {
        throw new CohortError(
          "io",
          `${where}: the connection broke after ${received} bytes (${error.message})`,
          "start again: it goes on from there",
          { cause: error },
        );
      });
      if (done) break;
      await save(where, () => file.appendFile(value));
      received += value.length;
      progress(received);
    }
    await save(where, () => file.sync());
  } finally {
    await reader.cancel().catch(() => undefined);
    await file.close();
  }
  return received;
}

async function save<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const full = code === "ENOSPC" || code === "EDQUOT";
    throw new CohortError(
      "io",
      `${where}: cannot be saved (${full ? "the disk is full" : message})`,
      full ? "free some space and start again: it goes on from there" : "choose another cache folder ($COHORT_CACHE)",
      { cause: error },
    );
  }
}
