/** @file What a recipe learns from where it learns from a data set: a file, pasted lines or the sample, and how it was understood. */
import { dataKinds } from "../../core/data/batch.ts";
import type { DataFormat } from "../../core/data/example.ts";
import type { DataSource } from "../../core/data/source.ts";
import {
  dataFiles,
  dataText,
  keepDataFile,
  kindOf,
  partsOf,
  readChosen,
  refreshDataFiles,
  removeDataFile,
  sampleText,
  understood,
} from "./data.ts";
import { field, fill, h, messageLine, said } from "./dom.ts";
import { setFault } from "./faults.ts";
import { dropArea } from "./files.ts";
import { run } from "./run.ts";
import { dataName, setup } from "./setup.ts";

const ROWS = 5;
/** Lines of the sample that pasting begins with. */
const BEGIN = 12;

export function dataPanel(): HTMLElement {
  const about = h("p", { class: "soft" });
  const wrong = messageLine();
  const message = messageLine();
  const taken = messageLine();
  const choice = h("select", {
    id: "data-choice",
    onchange: () => {
      const { lines, recipe } = setup.value;
      const begin = choice.value === "pasted" && lines === "";
      setup.set({
        data: choice.value,
        ...(begin && { lines: sampleText(kindOf(recipe)).split("\n").slice(0, BEGIN).join("\n") }),
      });
      taken.say("");
      readChosen().catch((error) => taken.say(said(error), "error"));
    },
  });
  const remove = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: async () => {
        const { data } = setup.value;
        if (!confirm(`Remove the data set "${data}" from this browser?`)) return;
        setup.set({ data: "sample" });
        await removeDataFile(data).catch((error) => taken.say(said(error), "error"));
      },
    },
    "Remove",
  );
  const lines = h("textarea", {
    id: "data-lines",
    rows: 7,
    spellcheck: "false",
    oninput: () => setup.set({ lines: lines.value }),
  });
  const pasted = field("Lines", lines, "JSON, one object a line.");

  async function take(files: readonly File[]): Promise<void> {
    if (files.length === 0) return;
    try {
      taken.say(`Reading ${files[0].name} …`);
      const name = await keepDataFile(files[0]);
      taken.say(`${name} is here, and stays in this browser.`, "good");
      setup.set({ data: name });
    } catch (error) {
      taken.say(said(error), "error");
    }
  }

  const file = h("input", {
    type: "file",
    id: "data-file",
    class: "file",
    accept: ".jsonl,.json,.ndjson,.txt",
    onchange: async () => {
      await take([...file.files!]);
      // The same file, corrected, is chosen anew.
      file.value = "";
    },
  });
  const drop = dropArea(
    take,
    { id: "data-drop" },
    h("p", {}, "Drop a JSONL file here, or choose it:"),
    h("div", { class: "row" }, file, h("label", { for: "data-file", class: "button" }, "File …")),
    h("small", { class: "doc", id: "data-formats" }),
  );
  const head = h("tr");
  const body = h("tbody");
  const rows = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "First examples as they were understood" },
    h("table", { id: "data-rows" }, h("thead", {}, head), body),
  );
  const title = h("h3", {}, "As it was understood");
  const element = h(
    "div",
    {},
    about,
    h("div", { class: "row" }, field("Data set", choice), remove),
    pasted,
    wrong.element,
    drop,
    taken.element,
    title,
    rows,
    message.element,
  );

  let tabled: DataSource | null | undefined;
  const table = (source: DataSource | null) => {
    if (source === tabled) return;
    tabled = source;
    const all = source ? new Set([...source.train, ...source.heldout]) : [];
    const first = [...all].sort((a, b) => lineOf(a.where) - lineOf(b.where)).slice(0, ROWS);
    const examples = first.map(partsOf);
    const columns = [...new Set(examples.flatMap((parts) => parts.map(([name]) => name)))];
    fill(head, ...columns.map((name) => h("th", { class: "left", scope: "col" }, name)));
    fill(
      body,
      ...examples.map((parts) =>
        h("tr", {}, ...columns.map((name) => h("td", { class: "mono left clip" }, new Map(parts).get(name) ?? ""))),
      ),
    );
    title.hidden = rows.hidden = examples.length === 0;
  };

  const show = () => {
    const s = setup.value;
    const chosen = s.task === "data";
    element.hidden = !chosen;
    if (!chosen) return;
    const kind = kindOf(s.recipe);
    about.textContent = `${s.recipe} learns from ${dataKinds[kind]}, in place of prompts and a reward. An eighth is held out.`;
    drop.querySelector("#data-formats")!.textContent =
      `Columns: ${FORMATS[kind]} Texts, or lists of chat messages. It stays on this device.`;
    const { list } = dataFiles.value;
    const names = [...(list ?? [])];
    if (!["sample", "pasted", ...names].includes(s.data)) names.push(s.data);
    fill(
      choice,
      h("option", { value: "sample" }, "The built-in sample: four digits to sort"),
      h("option", { value: "pasted" }, "Pasted lines"),
      names.length > 0 &&
        h("optgroup", { label: "In this browser" }, ...names.map((name) => h("option", { value: name }, name))),
    );
    choice.value = s.data;
    remove.hidden = s.data === "sample" || s.data === "pasted";
    pasted.hidden = s.data !== "pasted";
    if (lines.value !== s.lines) lines.value = s.lines;
    const text = dataText(s);
    let fault = "";
    let found: DataSource | null = null;
    if (text === null) {
      fault =
        list && !list.includes(s.data)
          ? `${s.data} is not in this browser any more — drop it again`
          : `Reading ${s.data} …`;
    } else {
      try {
        const { source, notes } = understood(s, text);
        found = source;
        const held =
          notes[0]?.replace(/^[^:]*: /, "") ??
          `${source.train.length} to learn from, ${source.heldout.length} held out for evaluation`;
        message.say(`${FOUND[source.format]}: ${held}.`, "good");
      } catch (error) {
        fault = said(error);
      }
    }
    if (fault) message.say("");
    wrong.say(fault, /…$/.test(fault) ? "note" : "error");
    lines.setAttribute("aria-invalid", String(fault !== ""));
    setFault("task", fault);
    table(found);
  };
  setup.watch(show);
  dataFiles.watch(show);
  run.watch(({ phase, message: text }) => {
    // An example that only the model's tokenizer finds too long: said here too, where it can be put right.
    if (phase === "failed" && text.startsWith(`${dataName(setup.value)}, line`)) wrong.say(text, "error");
  });
  refreshDataFiles().catch((error) => taken.say(said(error), "error"));
  return element;
}

const FOUND: Readonly<Record<DataFormat, string>> = {
  "prompt-completion": "Prompts and completions",
  preference: "Preferences",
  unpaired: "Labelled completions",
  messages: "Conversations",
  text: "Texts",
};

const lineOf = (where: string) => Number(/line (\d+)$/.exec(where)?.[1] ?? 0);

const FORMATS: Readonly<Record<ReturnType<typeof kindOf>, string>> = {
  pairs: "prompt, chosen, rejected; or chosen and rejected that begin alike.",
  labels: "prompt, completion, label (true or false); or prompt, chosen, rejected.",
  completions: "prompt, completion; or messages; or text.",
};
