/** @file Step 5: how long, how large, where. What is wrong is said under the fields while they are filled in. */
import { describeConfig } from "../../core/config.ts";
import { byId, bytes, field, fill, h, messageLine, said } from "./dom.ts";
import { machineNotes } from "./machine.ts";
import { MOST_MEMORY, models, trainingMemory } from "./models.ts";
import { configOf, defaultsOf, docOf, setup, shownKeys } from "./setup.ts";

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

/** What stands in the way of training with this setup, or "". */
export function obstacle(): string {
  const s = setup.value;
  try {
    const config = configOf(s);
    const stored = models.value.list.find(({ name }) => name === s.model);
    if (!stored || config.backend === "webgpu") return "";
    const { trajectoriesPerStep } = describeConfig(config);
    const { microBatches, maxTokens, lora } = config;
    const given = { trajectories: trajectoriesPerStep, microBatches, maxTokens, lora: lora !== null };
    const need = trainingMemory(stored, given);
    if (need < MOST_MEMORY) return "";
    const smaller = trainingMemory(stored, { ...given, microBatches: trajectoriesPerStep, lora: true });
    const remedy =
      smaller < MOST_MEMORY
        ? `with {"lora": {"rank": 16}, "microBatches": ${trajectoriesPerStep}} under Further keys it needs about ${bytes(smaller)}`
        : "take fewer rollouts, shorter completions, or a smaller model";
    return `model ${s.model}: training it needs about ${bytes(need)}, and WASM reaches ${bytes(MOST_MEMORY)} — ${remedy}`;
  } catch (error) {
    return said(error);
  }
}

export function settingsCard(): void {
  const message = messageLine();
  const derived = h("p", { class: "soft", id: "derived" });
  const inputs = new Map<string, HTMLInputElement | HTMLSelectElement>();
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
    return field(NAMES[key], input, docOf(key));
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
    const wrong = obstacle();
    message.say(wrong, "error");
    derived.hidden = wrong !== "";
    if (wrong) {
      byId("settings").closest("details")!.open = true;
      return;
    }
    const config = configOf(s);
    const { trajectoriesPerStep, optimizerSteps } = describeConfig(config);
    derived.textContent = `A step: ${config.promptsPerStep} prompts × ${config.rolloutsPerPrompt} rollouts = ${trajectoriesPerStep} completions; ${optimizerSteps} optimiser steps in all.`;
  };
  setup.watch(show);
  models.watch(show);
}
