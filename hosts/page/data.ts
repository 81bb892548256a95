/** @file The examples of a recipe that learns from a data set: the built-in sample, pasted lines, or a file kept in this browser. */
import { checkFormat } from "../../core/data/batch.ts";
import type { Example, Text } from "../../core/data/example.ts";
import { parseRows } from "../../core/data/lines.ts";
import { type DataSource, dataSource } from "../../core/data/source.ts";
import { CohortError } from "../../core/errors.ts";
import { readText } from "../../core/host.ts";
import type { DataKind, Recipe } from "../../core/recipe.ts";
import { loadTask } from "../../core/tasks/index.ts";
import { anyEngine } from "./engine.ts";
import { checkRoom } from "./machine.ts";
import { entryOf } from "./recipes.ts";
import { dataName, type Setup, setup } from "./setup.ts";
import { Store } from "./store.ts";

/** Files that are kept (null: nobody looked yet), and the text of the one that was read. */
export const dataFiles = new Store<{ list: readonly string[] | null; texts: Readonly<Record<string, string>> }>({
  list: null,
  texts: {},
});

const FOLDER = "data";
const SAMPLE = 240;

const made = new Map<DataKind, string>();

/** Sorting four digits, in the form that examples of this kind have. */
export function sampleText(kind: DataKind): string {
  const known = made.get(kind);
  if (known !== undefined) return known;
  const task = loadTask({ name: "sort", length: 4 });
  const lines = task.prompts("train", SAMPLE, 0).flatMap((row, k) => {
    const { prompt } = row;
    const right = task.supervised(row);
    const wrong = [...right].reverse().join("");
    // All digits alike: there is no wrong order.
    if (wrong === right) return [];
    if (kind === "pairs") return { prompt, chosen: right, rejected: wrong };
    if (kind === "labels") return { prompt, completion: k % 2 === 0 ? right : wrong, label: k % 2 === 0 };
    return { prompt, completion: right };
  });
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  made.set(kind, text);
  return text;
}

/** Which examples the recipe learns from. */
export const kindOf = (recipe: string): DataKind => entryOf(recipe)?.data ?? "pairs";

/** The data set's lines; null while a file is being read. */
export function dataText(s: Setup): string | null {
  if (s.data === "sample") return sampleText(kindOf(s.recipe));
  return s.data === "pasted" ? s.lines : (dataFiles.value.texts[s.data] ?? null);
}

let last: { name: string; text: string; source: DataSource; notes: string[] } | undefined;

/**
 * The examples as the trainer will read them.
 * @throws CohortError naming the line that is malformed, or the format where the recipe learns from another
 */
export function understood(s: Setup, text: string): { source: DataSource; notes: readonly string[] } {
  const name = dataName(s);
  if (last?.name !== name || last.text !== text) {
    const notes: string[] = [];
    last = {
      name,
      text,
      source: dataSource({ name, rows: parseRows(text, name), note: (note) => notes.push(note) }),
      notes,
    };
  }
  const entry = entryOf(s.recipe);
  if (entry) checkFormat({ id: entry.id, trains: { data: entry.data } } as Recipe, last.source.format, name);
  return last;
}

/** A text of an example as a person reads it. */
export const shownText = (text: Text): string =>
  typeof text === "string" ? text : text.map(({ role, content }) => `${role}: ${content}`).join("\n");

/** The parts of an example by name. */
export function partsOf(example: Example): [string, string][] {
  const names = ["prompt", "chosen", "rejected", "completion", "label", "messages", "text", "margin"];
  const columns = example as unknown as Record<string, Text | boolean | number | undefined>;
  return names.flatMap((name): [string, string][] => {
    const value = columns[name];
    if (value === undefined) return [];
    return [[name, typeof value === "boolean" || typeof value === "number" ? String(value) : shownText(value)]];
  });
}

const longest = new WeakMap<DataSource, number>();

/** Characters of the longest example. */
export function longestExample(source: DataSource): number {
  let most = longest.get(source);
  if (most === undefined) {
    most = [...source.train, ...source.heldout].reduce((most, example) => {
      const [prompt, ...rest] = partsOf(example).map(([, text]) => text.length);
      return Math.max(most, prompt + Math.max(0, ...rest));
    }, 0);
    longest.set(source, most);
  }
  return most;
}

export async function refreshDataFiles(): Promise<void> {
  const { storage } = await anyEngine();
  const list = (await storage.exists(FOLDER)) ? await storage.list(FOLDER) : [];
  dataFiles.set({ list });
  await readChosen();
}

/** Reads the file that is chosen, where it is not read yet. */
export async function readChosen(): Promise<void> {
  const { data } = setup.value;
  const { list, texts } = dataFiles.value;
  if (texts[data] !== undefined || !list?.includes(data)) return;
  const text = await readText((await anyEngine()).storage, `${FOLDER}/${data}`);
  dataFiles.set({ texts: { [data]: text } });
}

/**
 * Keeps a file in this browser; its name there.
 * @throws CohortError where it is not one of JSON lines, or there is no room
 */
export async function keepDataFile(file: File): Promise<string> {
  if (/\.(parquet|csv|tsv|arrow|zip|gz)$/i.test(file.name)) {
    throw new CohortError(
      "bad-input",
      `${file.name}: the page reads JSON lines`,
      'write one object a line, as in {"prompt": "…", "completion": "…"}; `cohort train` reads parquet too',
    );
  }
  await checkRoom(file.name, file.size);
  const name = `${file.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "-") || "data"}.jsonl`;
  const text = await file.text();
  const { storage } = await anyEngine();
  await storage.write(`${FOLDER}/${name}`, text);
  dataFiles.set({ list: await storage.list(FOLDER), texts: { [name]: text } });
  return name;
}

export async function removeDataFile(name: string): Promise<void> {
  const { storage } = await anyEngine();
  await storage.remove(`${FOLDER}/${name}`);
  dataFiles.set({ list: (await storage.exists(FOLDER)) ? await storage.list(FOLDER) : [], texts: {} });
}
