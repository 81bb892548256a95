/** @file Model folders into a page's storage: from files that were dropped or chosen, or from a URL. */
import { CohortError } from "../core/errors.ts";
import type { Storage } from "../core/host.ts";
import { piecesOf } from "./storage-port.ts";

const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** Read where they are; the rest of a model's repository is no use here. */
const OPTIONAL = [
  "tokenizer.json",
  "tokenizer_config.json",
  "generation_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "added_tokens.json",
];

/** Copies files into `dir` under their own names, one after the other and never whole in memory. */
export async function importFiles(
  storage: Storage,
  dir: string,
  files: readonly { name: string; data: Blob }[],
): Promise<void> {
  for (const { name, data } of files) await storage.writeStream(`${dir}/${name}`, piecesOf(data.stream()));
}

/**
 * Downloads a model folder: config.json, the tokenizer's files, and the weights with their parts.
 * @param url of the folder: "https://…/resolve/main", or relative to the page
 * @throws CohortError naming the file that could not be had
 */
export async function importUrl(
  storage: Storage,
  dir: string,
  url: string,
  onBytes: (file: string, bytes: number) => void = () => {},
): Promise<void> {
  const base = url.replace(/\/+$/, "");
  const get = async (name: string): Promise<Response | null> => {
    let response: Response;
    try {
      response = await fetch(`${base}/${name}`);
    } catch (cause) {
      throw new CohortError(
        "io",
        `importUrl: ${base}/${name} cannot be fetched: ${(cause as Error).message}`,
        "check the address, the connection, and that the server allows other origins (CORS)",
        { cause },
      );
    }
    if (response.status === 404) return null;
    if (!response.ok) {
      const said = `${response.status} ${response.statusText}`.trim();
      throw new CohortError("io", `importUrl: ${base}/${name} answered ${said}`, "check the address");
    }
    return response;
  };
  const save = async (name: string, response: Response | null) => {
    if (!response) throw new CohortError("bad-model", `importUrl: there is no ${base}/${name}`, "check the address");
    const pieces = response.body ? piecesOf(response.body, (bytes) => onBytes(name, bytes)) : [];
    await storage.writeStream(`${dir}/${name}`, pieces);
  };
  await save("config.json", await get("config.json"));
  for (const name of OPTIONAL) {
    const response = await get(name);
    if (response) await save(name, response);
  }
  const index = await get(INDEX);
  if (!index) return save(WEIGHTS, await get(WEIGHTS));
  const text = await index.text();
  await storage.write(`${dir}/${INDEX}`, text);
  const { weight_map: map } = JSON.parse(text) as { weight_map: Record<string, string> };
  for (const part of new Set(Object.values(map))) await save(part, await get(part));
}
