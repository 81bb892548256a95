/** @file Files that were dropped or chosen: which of them make a model folder, and what it is called. */
import { CohortError } from "../../core/errors.ts";
import { type Child, h } from "./dom.ts";

const WANTED =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|model\.safetensors\.index|cohort-tokenizer)\.json$|^(merges\.txt|chat_template\.(jinja|json)|tokenizer\.model)$|^(?!optimizer\.).*\.safetensors$/;

/** Everything in a drop, folders opened. */
async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // Entries must be asked for before the first await: then the list is emptied.
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry?.() ?? []);
  if (entries.length === 0) return [...transfer.files];
  const files: File[] = [];
  const open = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
      Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.replace(/^\//, "") });
      files.push(file);
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
      if (some.length === 0) return;
      for (const inner of some) await open(inner);
    }
  };
  for (const entry of entries) await open(entry);
  return files;
}

/** A place that files and folders are dropped on; `take` gets them, folders opened. */
export function dropArea(
  take: (files: File[]) => Promise<void>,
  properties: { id?: string },
  ...children: Child[]
): HTMLElement {
  const area = h(
    "div",
    {
      ...properties,
      class: "drop",
      ondragover: (event: DragEvent) => {
        event.preventDefault();
        area.dataset["over"] = "yes";
      },
      ondragleave: () => delete area.dataset["over"],
      ondrop: async (event: DragEvent) => {
        event.preventDefault();
        delete area.dataset["over"];
        await take(await droppedFiles(event.dataTransfer!));
      },
    },
    ...children,
  );
  return area;
}

export interface ModelFiles {
  name: string;
  files: File[];
  bytes: number;
}

/**
 * The model folder among files: the folder of the first config.json.
 * @throws CohortError where there is none, or it has no weights
 */
export function modelFilesOf(all: readonly File[]): ModelFiles {
  const folderOf = (file: File) => (file.webkitRelativePath || file.name).split("/").slice(0, -1).join("/");
  const config = all.find((file) => file.name === "config.json");
  if (!config) {
    const names = all.slice(0, 4).map((file) => file.name);
    throw new CohortError(
      "bad-model",
      `model: no config.json among ${names.join(", ") || "no files"}${all.length > 4 ? ", …" : ""}`,
      "choose the folder of a Hugging Face model: config.json, model.safetensors, tokenizer.json",
    );
  }
  const folder = folderOf(config);
  const files = all.filter((file) => folderOf(file) === folder && WANTED.test(file.name));
  if (!files.some((file) => file.name.endsWith(".safetensors"))) {
    const other = all.find((file) => /\.(bin|gguf|onnx|pth?)$/.test(file.name));
    throw new CohortError(
      "bad-model",
      `model: no .safetensors file${other ? `, and ${other.name} is of a format that cannot be read` : ""}`,
      "choose a folder with its weights in safetensors",
    );
  }
  const name =
    folder
      .split("/")
      .at(-1)
      ?.replace(/[^A-Za-z0-9._-]+/g, "-") || "model";
  return { name, files, bytes: files.reduce((sum, file) => sum + file.size, 0) };
}
