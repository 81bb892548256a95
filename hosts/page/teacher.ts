/** @file The teacher of a distillation: a model of this browser, or what a run here has trained. */
import { field, fill, h, messageLine, said } from "./dom.ts";
import { setFault } from "./faults.ts";
import { models } from "./models.ts";
import { entryOf } from "./recipes.ts";
import { run } from "./run.ts";
import { runName, storedRuns } from "./runs.ts";
import { modelFolder, setup } from "./setup.ts";

export function teacherField(): HTMLElement {
  const message = messageLine();
  const choice = h("select", { id: "teacher", onchange: () => setup.set({ teacher: choice.value }) });
  const element = h(
    "div",
    { hidden: true },
    field(
      "Teacher",
      choice,
      "A model of the same tokenizer and any size. Train one here first, or drop one under Model.",
    ),
    message.element,
  );
  let trained: { name: string; folder: string }[] = [];

  const needed = () => entryOf(setup.value.recipe)?.teacher === true;
  const show = () => {
    element.hidden = !needed();
    const { teacher, recipe } = setup.value;
    const stored = models.value.list.map(({ name }) => ({ name, folder: modelFolder(name) }));
    const known = [...stored, ...trained];
    const options = (list: readonly { name: string; folder: string }[]) =>
      list.map(({ name, folder }) => h("option", { value: folder }, name));
    fill(
      choice,
      h("option", { value: "" }, "Choose …"),
      stored.length > 0 && h("optgroup", { label: "In this browser" }, ...options(stored)),
      trained.length > 0 && h("optgroup", { label: "Trained here" }, ...options(trained)),
    );
    const there = known.some(({ folder }) => folder === teacher);
    choice.value = there ? teacher : "";
    const fault = !needed()
      ? ""
      : known.length === 0
        ? `${recipe} learns from a teacher, and there is no model in this browser yet — train one with sft, or drop one`
        : there
          ? ""
          : `${recipe} learns from a teacher — choose one`;
    message.say(fault, "error");
    setFault("teacher", fault);
  };

  /** Runs that have a checkpoint of a language model. */
  async function refresh(): Promise<void> {
    try {
      const found = (await storedRuns()).filter(
        ({ checkpoint, config }) => checkpoint > 0 && !entryOf(config.recipe)?.scored,
      );
      trained = found.map(({ dir, checkpoint }) => ({
        name: `${runName(dir)}, step ${checkpoint}`,
        folder: `${dir}/checkpoints/step-${checkpoint}`,
      }));
      show();
    } catch (error) {
      message.say(said(error), "error");
    }
  }

  let before = "";
  setup.watch(({ recipe }) => {
    if (recipe !== before && needed()) {
      before = recipe;
      void refresh();
    }
    show();
  });
  models.watch(show);
  let phase = "";
  run.watch((state) => {
    if (state.phase === phase) return;
    phase = state.phase;
    if (phase === "finished" || phase === "paused") {
      if (needed()) void refresh();
    }
    // A teacher of another tokenizer is found when it is opened: said here too, where another can be chosen.
    if (phase === "failed" && state.message.startsWith("reference ")) message.say(state.message, "error");
  });
  return element;
}
