/** @file Step 2: what it learns from: a built-in task, prompts of one's own, or a data set. */
import { loadTask, taskNames } from "../../core/tasks/index.ts";
import { dataPanel } from "./data-panel.ts";
import { byId, field, fill, h, messageLine, said } from "./dom.ts";
import { setFault } from "./faults.ts";
import { hardness, rowsOf, setup, taskOf, withTask } from "./setup.ts";

export function taskCard(): void {
  const message = messageLine();
  const choice = h(
    "select",
    { id: "task-choice", onchange: () => setup.set(withTask(setup.value, choice.value)) },
    h("optgroup", { label: "Built in" }, ...taskNames.map((name) => h("option", { value: name }, name))),
    h(
      "optgroup",
      { label: "Yours" },
      h("option", { value: "own" }, "My own prompts"),
      h("option", { value: "data" }, "A data set of examples"),
    ),
  );
  const describe = h("p", { class: "soft" });
  const hard = h("input", {
    type: "number",
    id: "task-hardness",
    onchange: () => {
      const value = hard.valueAsNumber;
      const rule = hardness[setup.value.task];
      if (rule && value >= rule.min && value <= rule.max) setup.set({ hardness: Math.round(value) });
    },
  });
  const hardField = field("How hard", hard);
  const prompts = h("textarea", {
    id: "prompts",
    rows: 7,
    spellcheck: "false",
    oninput: () => setup.set({ prompts: prompts.value }),
  });
  const file = h("input", {
    type: "file",
    id: "prompts-file",
    class: "file",
    accept: ".txt,.jsonl,.json",
    onchange: async () => {
      const text = await file.files?.[0]?.text();
      if (text !== undefined) setup.set({ prompts: text });
    },
  });
  const own = h(
    "div",
    {},
    field(
      "Prompts",
      prompts,
      'One a line; or JSON lines, {"prompt": "…", "answer": "…"}: your reward sees the columns as row.',
    ),
    h("div", { class: "row" }, file, h("label", { for: "prompts-file", class: "button" }, "From a file …")),
    message.element,
  );
  fill(byId("task"), field("Task", choice), describe, hardField, own, dataPanel());

  setup.watch((s) => {
    choice.value = s.task;
    own.hidden = s.task !== "own";
    const rule = hardness[s.task];
    hardField.hidden = !rule;
    describe.hidden = s.task === "own" || s.task === "data";
    if (s.task === "data") return;
    setFault("task", "");
    if (rule) {
      hard.min = String(rule.min);
      hard.max = String(rule.max);
      if (document.activeElement !== hard) hard.value = String(s.hardness ?? rule.easy);
      hardField.querySelector("label")!.textContent = `How hard: ${rule.key}, ${rule.min} to ${rule.max}`;
    }
    if (s.task !== "own") {
      describe.textContent = loadTask(taskOf(s)).describe;
      return;
    }
    if (prompts.value !== s.prompts) prompts.value = s.prompts;
    try {
      const rows = rowsOf(s.prompts);
      const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
      message.say(`${rows.length} prompts${columns.length > 1 ? `; columns ${columns.join(", ")}` : ""}`);
    } catch (error) {
      message.say(said(error), "error");
      setFault("task", said(error));
    }
  });
}
