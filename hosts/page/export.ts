/** @file What leaves the page: a model as a zip or a folder, a report as a page of its own. */
import { Zip, ZipPassThrough } from "fflate";
import { CohortError } from "../../core/errors.ts";
import type { Storage } from "../../core/host.ts";
import { listCheckpoints } from "../../core/run.ts";
import { h } from "./dom.ts";
import { anyEngine } from "./engine.ts";

const PIECE = 1 << 22;

async function* pieces(storage: Storage, path: string): AsyncIterable<Uint8Array> {
  const size = await storage.size(path);
  for (let at = 0; at < size; at += PIECE) yield storage.readRange(path, at, Math.min(PIECE, size - at));
}

/** The newest checkpoint of a run as a model folder: without what only a continuation needs. */
async function modelFiles(storage: Storage, dir: string): Promise<{ folder: string; files: string[] }> {
  const newest = (await listCheckpoints(storage, dir)).at(-1);
  if (!newest) {
    throw new CohortError("io", `${dir}: no checkpoint yet`, "let it finish a step, and pause it");
  }
  const names = (await storage.list(newest.dir)).filter(
    (name) => !/^(optimizer\.safetensors|state\.json)$|\/$/.test(name),
  );
  return { folder: newest.dir, files: names };
}

/** The files as a zip, stored as they are: weights do not compress. */
async function zipOf(storage: Storage, folder: string, files: readonly string[], inside: string): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const failed: Error[] = [];
  const zip = new Zip((error, data) => (error ? failed.push(error) : parts.push(data as Uint8Array<ArrayBuffer>)));
  for (const name of files) {
    const entry = new ZipPassThrough(`${inside}/${name}`);
    zip.add(entry);
    for await (const piece of pieces(storage, `${folder}/${name}`)) entry.push(piece);
    entry.push(new Uint8Array(0), true);
  }
  zip.end();
  if (failed.length > 0) throw failed[0];
  return new Blob(parts, { type: "application/zip" });
}

export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const nameOf = (dir: string) => dir.split("/").at(-1)!;

/** The trained model as a zip of a Hugging Face folder. */
export async function exportModel(dir: string): Promise<void> {
  const { storage } = await anyEngine();
  const { folder, files } = await modelFiles(storage, dir);
  const name = nameOf(dir);
  download(await zipOf(storage, folder, files, name), `${name}.zip`);
}

interface Directory {
  getDirectoryHandle(name: string, options: { create: true }): Promise<Directory>;
  getFileHandle(name: string, options: { create: true }): Promise<{ createWritable(): Promise<Writable> }>;
}
interface Writable {
  write(data: Uint8Array): Promise<void>;
  close(): Promise<void>;
}
const picker = (globalThis as { showDirectoryPicker?(options: object): Promise<Directory> }).showDirectoryPicker;

/** Whether this browser writes into folders of the person's choice. */
export const canSaveFolders = picker !== undefined;

/** The trained model as files in a folder that the person picks. */
export async function saveModelFolder(dir: string): Promise<void> {
  const chosen = await picker!({ mode: "readwrite" });
  const { storage } = await anyEngine();
  const { folder, files } = await modelFiles(storage, dir);
  const target = await chosen.getDirectoryHandle(nameOf(dir), { create: true });
  for (const name of files) {
    const file = await (await target.getFileHandle(name, { create: true })).createWritable();
    for await (const piece of pieces(storage, `${folder}/${name}`)) await file.write(piece);
    await file.close();
  }
}

/** The whole run folder but for its checkpoints: curves, samples, configuration, report. */
export async function exportRun(dir: string): Promise<void> {
  const { storage } = await anyEngine();
  const files = (await storage.list(dir)).filter((name) => !name.endsWith("/"));
  const name = nameOf(dir);
  download(await zipOf(storage, dir, files, name), `${name}-run.zip`);
}

/** report.html in a tab of its own. */
export async function openReport(dir: string): Promise<void> {
  const { storage } = await anyEngine();
  const path = `${dir}/report.html`;
  if (!(await storage.exists(path))) {
    throw new CohortError("io", `${dir}: no report yet`, "it is written when the run pauses or ends");
  }
  const page = new Blob([(await storage.read(path)) as Uint8Array<ArrayBuffer>], { type: "text/html" });
  const url = URL.createObjectURL(page);
  // Not `noopener`: a blob's address is this page's own, and it holds no script.
  if (!window.open(url)) download(page, `${nameOf(dir)}-report.html`);
  setTimeout(() => URL.revokeObjectURL(url), 600_000);
}
