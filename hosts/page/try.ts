/** @file One's own prompt to the model before and after training, side by side, with the same random numbers. */
import { listCheckpoints } from "../../core/run.ts";
import { field, fill, h, messageLine, said } from "./dom.ts";
import { exclusively, openEngine } from "./engine.ts";
import { entryOf } from "./recipes.ts";
import { isActive, type RunState, run } from "./run.ts";

const COMPLETIONS = 2;

export function tryView(): { element: HTMLElement; show(state: RunState): void } {
  const message = messageLine();
  let touched = false;
  const prompt = h("textarea", {
    id: "try-prompt",
    rows: 2,
    spellcheck: "false",
    oninput: () => {
      touched = true;
    },
  });
  const ask = h("button", { type: "button", id: "try", onclick: () => void sample() }, "Complete");
  const result = h("div", { id: "try-result" });
  const element = h(
    "section",
    { "aria-label": "Try the model" },
    h("h3", {}, "Try the model"),
    field("A prompt of yours", prompt),
    h("div", { class: "row" }, ask),
    message.element,
    result,
  );
  let shown = "";

  async function sample(): Promise<void> {
    const { config, dir } = run.value;
    if (!config) return;
    if (prompt.value === "") {
      message.say("Write a prompt first.", "error");
      return;
    }
    ask.disabled = true;
    message.say("Completing …");
    try {
      const engine = await openEngine({ backend: config.backend, precision: config.precision });
      const newest = (await listCheckpoints(engine.storage, dir)).at(-1);
      const sides: [string, string][] = [];
      if (typeof config.model === "string") sides.push(["before", config.model]);
      if (newest) sides.push([`step ${newest.step}`, newest.dir]);
      const { maxTokens, temperature, topK, topP, minP, seed, precision } = config;
      const options = {
        prompt: prompt.value,
        n: COMPLETIONS,
        maxTokens,
        temperature,
        topK,
        topP,
        minP,
        seed,
        precision,
      };
      const columns: HTMLElement[] = [];
      await exclusively("completing a prompt", async () => {
        for (const [title, model] of sides) {
          const texts: HTMLElement[] = [];
          for await (const { text } of engine.sample({ ...options, model })) {
            texts.push(h("div", { class: "text mono" }, text || "(nothing)"));
          }
          columns.push(h("div", {}, h("h4", {}, h("span", {}, title)), ...texts));
        }
      });
      fill(result, h("div", { class: "pair" }, ...columns));
      message.say(newest ? "" : "There is no checkpoint yet.");
    } catch (error) {
      message.say(said(error), "error");
    } finally {
      ask.disabled = false;
    }
  }

  return {
    element,
    show({ phase, dir, config, evaluations, samples, prompt: first }) {
      // A reward model gives scores, no tokens.
      element.hidden = dir === "" || isActive(phase) || (config !== null && entryOf(config.recipe)?.scored === true);
      if (dir !== shown) {
        shown = dir;
        fill(result);
        message.say("");
        prompt.value = "";
      }
      // Before the first evaluation there is none to offer.
      if (!touched) prompt.value ||= evaluations[0]?.samples[0]?.prompt ?? samples[0]?.prompt ?? first;
    },
  };
}
