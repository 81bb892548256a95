/** @file Step 1: which model. */
import { formatNumber } from "../../core/plot.ts";
import { byId, bytes, field, fill, h, messageLine, said } from "./dom.ts";
import { engineState } from "./engine.ts";
import { setFault } from "./faults.ts";
import { dropArea, modelFilesOf } from "./files.ts";
import { beyondMemory, keepModel, models, refreshModels, removeModel } from "./models.ts";
import { type Setup, setup, type sizes, withTask } from "./setup.ts";

const NEW: Record<keyof typeof sizes, string> = {
  tiny: "New, tiny: 2 layers, width 32",
  small: "New, small: 2 layers, width 64",
  medium: "New, medium: 4 layers, width 128",
};

export function modelCard(): void {
  const message = messageLine();
  const size = messageLine();
  const facts = h("p", { class: "soft" });
  const choice = h("select", {
    id: "model-choice",
    onchange: () => {
      const [kind, name] = choice.value.split(":");
      if (kind === "new") setup.set({ model: "new", size: name as Setup["size"] });
      else setup.set({ model: name });
    },
  });
  const remove = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: async () => {
        const { model } = setup.value;
        if (!confirm(`Remove the model "${model}" from this browser?`)) return;
        setup.set({ model: "new" });
        await removeModel(model).catch((error) => message.say(said(error), "error"));
      },
    },
    "Remove",
  );

  async function take(files: readonly File[]): Promise<void> {
    if (files.length === 0) return;
    try {
      const found = modelFilesOf(files);
      message.say(`Copying ${found.name}, ${bytes(found.bytes)} …`);
      const { name } = await keepModel(found);
      message.say(`${name} is here, and stays in this browser.`, "good");
      // A built-in task's characters may be none of this model's: its own prompts are the natural next step.
      setup.set({ model: name, ...(setup.value.task !== "data" && withTask(setup.value, "own")), keys: {} });
    } catch (error) {
      message.say(said(error), "error");
    }
  }

  const folder = h("input", {
    type: "file",
    id: "model-folder",
    class: "file",
    webkitdirectory: true,
    onchange: () => take([...folder.files!]),
  });
  const loose = h("input", {
    type: "file",
    id: "model-files",
    class: "file",
    multiple: true,
    onchange: () => take([...loose.files!]),
  });
  const drop = dropArea(
    take,
    {},
    h("p", {}, "Drop a Hugging Face model folder here, or choose it:"),
    h(
      "div",
      { class: "row" },
      folder,
      h("label", { for: "model-folder", class: "button" }, "Folder …"),
      loose,
      h("label", { for: "model-files", class: "button" }, "Files …"),
    ),
    h(
      "small",
      { class: "doc" },
      "Llama, SmolLM2, Qwen2/2.5, Qwen3: config.json, safetensors, tokenizer.json. It stays on this device.",
    ),
  );

  fill(
    byId("model"),
    h("div", { class: "row" }, field("Model", choice), remove),
    facts,
    size.element,
    drop,
    message.element,
  );

  const show = () => {
    const { model, size: chosen } = setup.value;
    const { list } = models.value;
    const names = list.map(({ name }) => name);
    // Not read yet, or removed elsewhere: still what is set.
    if (model !== "new" && !names.includes(model)) names.push(model);
    fill(
      choice,
      h(
        "optgroup",
        { label: "Made here" },
        ...Object.entries(NEW).map(([id, text]) => h("option", { value: `new:${id}` }, text)),
      ),
      names.length > 0 &&
        h(
          "optgroup",
          { label: "In this browser" },
          ...names.map((name) => h("option", { value: `stored:${name}` }, name)),
        ),
    );
    choice.value = model === "new" ? `new:${chosen}` : `stored:${model}`;
    remove.hidden = model === "new";
    const stored = list.find(({ name }) => name === model);
    const fault = stored ? beyondMemory(stored, setup.value.keys["backend"]) : "";
    size.say(fault, "error");
    setFault("model", fault);
    facts.textContent = stored
      ? `${formatNumber(stored.parameters)} parameters · ${stored.config.layers} layers of width ${stored.config.hiddenSize} · vocabulary ${stored.config.vocabSize} · context ${stored.config.maxPositions} tokens`
      : "A transformer with random weights. On a built-in task it is first shown a few right answers.";
  };
  setup.watch(show);
  models.watch(show);
  engineState.watch(show);
  refreshModels().catch((error) => message.say(said(error), "error"));
}
