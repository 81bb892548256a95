/** @file Step 5: how long, how large, where. What is wrong is said under the fields while they are filled in. */
import { describeConfig } from "../../core/config.ts";
import { formatNumber } from "../../core/plot.ts";
import { dataFiles, dataText, longestExample, understood } from "./data.ts";
import { byId, bytes, field, fill, h, messageLine, said } from "./dom.ts";
import { setFault } from "./faults.ts";
import { machineNotes } from "./machine.ts";
import { beyondMemory, MOST_MEMORY, models, onWasm, type StoredModel, trainingMemory } from "./models.ts";
import { entryOf } from "./recipes.ts";
import { configOf, defaultsOf, docOf, type Setup, samples, setup, shownKeys } from "./setup.ts";

const NAMES: Readonly<Record<(typeof shownKeys)[number], string>> = {
  steps: "Steps",
  promptsPerStep: "Prompts a step",
  rolloutsPerPrompt: "Rollouts each",
  maxTokens: "Completion tokens",
  learningRate: "Learning rate",
  temperature: "Temperature",
  seed: "Seed",
  evalEvery: "Evaluate every",
  checkpointEvery: "Checkpoint every",
  backend: "Backend",
  precision: "Precision",
};
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  backend: ["auto", "wasm", "webgpu"],
  precision: ["12", "24", "fast"],
};

/** The examples of a data set, where they are there and well formed; their own card says what is wrong with them. */
function source(s: Setup) {
  const text = s.task === "data" ? dataText(s) : null;
  try {
    return text === null ? null : understood(s, text).source;
  } catch {
    return null;
  }
}

/** What the settings ask of the device beyond what it has, or "". */
function tooLarge(s: Setup, stored: StoredModel, config: ReturnType<typeof configOf>): string {
  const { trajectoriesPerStep } = describeConfig(config);
  const { microBatches, maxTokens, lora } = config;
  const examples = source(s);
  const entry = entryOf(s.recipe);
  const given = {
    trajectories: trajectoriesPerStep * (entry?.data === "pairs" && s.task === "data" ? 2 : 1),
    microBatches,
    // Two characters a token: fewer than most tokenizers make of them.
    tokens: examples ? Math.min(stored.config.maxPositions, longestExample(examples) / 2) : null,
    maxTokens,
    lora: lora !== null,
    // With adapters the reference is the model without them.
    reference: lora === null && s.task === "data" && entry?.data !== "completions" && !entry?.scored,
  };
  const need = trainingMemory(stored, given);
  if (need < MOST_MEMORY) return "";
  const smaller = trainingMemory(stored, { ...given, microBatches: trajectoriesPerStep, lora: true, reference: false });
  const less = s.task === "data" ? "take fewer examples a step" : "take fewer rollouts";
  const remedy =
    smaller < MOST_MEMORY
      ? `with {"lora": {"rank": 16}, "microBatches": ${trajectoriesPerStep}} under Further keys it needs about ${bytes(smaller)}`
      : `${less}, shorter completions, or a smaller model`;
  return `model ${s.model}: training it needs about ${bytes(need)}, and WASM reaches ${bytes(MOST_MEMORY)} — ${remedy}`;
}

/** What is wrong with the settings, or "". */
function fault(s: Setup): string {
  try {
    const config = configOf(s);
    if (config.backend === "webgpu" && !("gpu" in navigator && navigator.gpu)) {
      return "backend is webgpu, and this browser gives the page no WebGPU — set it to auto or wasm: the bits are the same";
    }
    const stored = models.value.list.find(({ name }) => name === s.model);
    const judged = stored && onWasm(config.backend) && !beyondMemory(stored, config.backend);
    return judged ? tooLarge(s, stored, config) : "";
  } catch (error) {
    return said(error);
  }
}

export function settingsCard(): void {
  const message = messageLine();
  const derived = h("p", { class: "soft", id: "derived" });
  const inputs = new Map<string, HTMLInputElement | HTMLSelectElement>();
  const places = new Map<string, HTMLElement>();
  const change = (key: string, text: string) => {
    const keys = { ...setup.value.keys };
    const number = Number(text);
    if (text === "" || text === String(defaultsOf(setup.value)[key])) delete keys[key];
    else keys[key] = text.trim() === "" || Number.isNaN(number) ? text : number;
    setup.set({ keys });
  };
  const fields = shownKeys.map((key) => {
    const choices = CHOICES[key];
    const input = choices
      ? h("select", { id: `key-${key}` }, ...choices.map((text) => h("option", { value: text }, text)))
      : h("input", { id: `key-${key}`, type: "text", inputmode: "decimal", autocomplete: "off" });
    input.addEventListener("change", () => change(key, input.value));
    inputs.set(key, input);
    const place = field(NAMES[key], input, docOf(key));
    places.set(key, place);
    return place;
  });
  const more = h("textarea", {
    id: "more",
    rows: 3,
    spellcheck: "false",
    placeholder: '{"lora": {"rank": 16}, "kl": "k3-unbiased"}',
    oninput: () => setup.set({ more: more.value }),
  });
  fill(
    byId("settings"),
    h("div", { class: "fields" }, ...fields),
    h(
      "details",
      {},
      h("summary", {}, "Further keys"),
      field(
        "JSON",
        more,
        "Every key of a configuration file: optimizer, lora, kl, filter, microBatches, topP, evalPrompts, …",
      ),
    ),
    derived,
    message.element,
    machineNotes(),
  );

  const show = () => {
    const s = setup.value;
    const standard = defaultsOf(s);
    for (const [key, input] of inputs) {
      if (document.activeElement !== input) input.value = String(s.keys[key] ?? standard[key]);
    }
    if (more.value !== s.more) more.value = s.more;
    for (const key of ["rolloutsPerPrompt", "maxTokens", "temperature"]) {
      places.get(key)!.hidden = !samples(s) || (key === "rolloutsPerPrompt" && s.task === "data");
    }
    places.get("promptsPerStep")!.querySelector("label")!.textContent =
      s.task === "data" ? "Examples a step" : NAMES.promptsPerStep;
    const wrong = fault(s);
    message.say(wrong, "error");
    setFault("settings", wrong);
    derived.hidden = wrong !== "";
    if (wrong) return;
    const config = configOf(s);
    if (s.task === "data") {
      const train = source(s)?.train.length;
      const passes = train
        ? `, ${formatNumber((config.steps * config.promptsPerStep) / train)} passes over ${train}`
        : "";
      derived.textContent = `A step: one optimiser step on ${config.promptsPerStep} examples; ${config.steps} steps in all${passes}.`;
      return;
    }
    const { trajectoriesPerStep, optimizerSteps } = describeConfig(config);
    derived.textContent = `A step: ${config.promptsPerStep} prompts × ${config.rolloutsPerPrompt} rollouts = ${trajectoriesPerStep} completions; ${optimizerSteps} optimiser steps in all.`;
  };
  setup.watch(show);
  models.watch(show);
  dataFiles.watch(show);
}
