/** @file The runs that are stored in this browser: a line each, with what one can do with them. */
import { parseConfig, type TrainConfig, taskName } from "../../core/config.ts";
import type { StepMetrics } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import { type EvaluationLine, listCheckpoints, Run, readRunConfig } from "../../core/run.ts";
import { byId, bytes, fill, h, messageLine, said } from "./dom.ts";
import { anyEngine } from "./engine.ts";
import { canSaveFolders, exportModel, exportRun, openReport, saveModelFolder } from "./export.ts";
import { space } from "./machine.ts";
import { forget, goOn, isActive, isFinished, run, show } from "./run.ts";

export interface StoredRun {
  dir: string;
  config: TrainConfig;
  metrics: readonly StepMetrics[];
  evaluations: readonly EvaluationLine[];
  /** steps of the newest checkpoint; 0: none */
  checkpoint: number;
}

/** All runs of this browser; folders that cannot be read are left out. */
export async function storedRuns(): Promise<StoredRun[]> {
  const { storage } = await anyEngine();
  const names = (await storage.exists("runs")) ? await storage.list("runs") : [];
  const found: StoredRun[] = [];
  for (const name of names) {
    const dir = `runs/${name.replace(/\/$/, "")}`;
    try {
      const config = parseConfig(await readRunConfig(storage, dir));
      const stored = new Run(storage, dir, config, null);
      found.push({
        dir,
        config,
        metrics: await stored.metrics(),
        evaluations: await stored.evaluations(),
        checkpoint: (await listCheckpoints(storage, dir)).at(-1)?.step ?? 0,
      });
    } catch {
      // A folder that a closed tab left without its configuration.
    }
  }
  return found;
}

export const runName = (dir: string) => dir.replace(/^runs\//, "");

/** Of a run on a data set the loss tells, of others the reward. */
export const leading = (metrics: readonly StepMetrics[]): "loss" | "reward" =>
  metrics[0]?.epoch === undefined ? "reward" : "loss";

/** What evaluations measured that tells most: its name, and "25 % → 75 %" of it. */
export function heldOut(evaluations: readonly EvaluationLine[]): { name: string; text: string } {
  const measured = evaluations.at(-1)?.metrics;
  if (!measured) return { name: "pass@1", text: passText(evaluations) };
  const key = (["rewards/accuracies", "accuracy", "loss"] as const).find((name) => typeof measured[name] === "number");
  if (!key) return { name: "held out", text: "–" };
  const shown = (line: EvaluationLine) => {
    const value = line.metrics?.[key];
    return key === "loss" ? formatNumber(value) : `${(100 * Number(value)).toFixed(0)} %`;
  };
  const text = [evaluations[0], ...evaluations.slice(1).slice(-1)].map(shown).join(" → ");
  return { name: key === "loss" ? "loss, held out" : "accuracy, held out", text };
}

/** "25 % → 75 %" of held-out prompts, where they were evaluated. */
function passText(evaluations: readonly EvaluationLine[]): string {
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  if (first === undefined || last === undefined) return "–";
  const percent = (x: number) => `${(100 * x).toFixed(0)} %`;
  return first === last ? percent(first["pass@1"]) : `${percent(first["pass@1"])} → ${percent(last["pass@1"])}`;
}

export function runsView(): { refresh(): Promise<void> } {
  const message = messageLine();
  const list = h("div", { class: "runs" });
  const room = h("p", { class: "soft", id: "space" });
  fill(byId("runs"), h("h2", {}, "Runs in this browser"), room, message.element, list);

  const act = (name: string, about: string, work: () => Promise<unknown>, disabled = false) =>
    h(
      "button",
      {
        type: "button",
        disabled,
        "aria-label": `${name}: ${about}`,
        onclick: () => {
          message.say("");
          work().catch((error) => {
            // The person closed the browser's own dialogue.
            if ((error as Error).name !== "AbortError") message.say(said(error), "error");
          });
        },
      },
      name,
    );

  function card({ dir, config, metrics, evaluations, checkpoint }: StoredRun): HTMLElement {
    const [first, last] = [metrics[0], metrics.at(-1)];
    const finished = isFinished(config, checkpoint, evaluations);
    const active = run.value.dir === dir && isActive(run.value.phase);
    const state = active
      ? "training now"
      : finished
        ? "finished"
        : `stopped at step ${last?.step ?? 0} of ${config.steps}`;
    const name = runName(dir);
    const told = leading(metrics);
    const held = heldOut(evaluations);
    const busy = isActive(run.value.phase);
    const watch = () => {
      location.hash = "#train";
    };
    return h(
      "article",
      { class: "card", "aria-label": name },
      h("h3", {}, name),
      h("p", { class: "soft" }, `${taskName(config)} · ${config.recipe} · ${state}`),
      h(
        "dl",
        {},
        h("dt", {}, told),
        h("dd", {}, `${formatNumber(first?.[told])} → ${formatNumber(last?.[told])}`),
        h("dt", {}, held.name),
        h("dd", {}, held.text),
        h("dt", {}, "digest"),
        h("dd", { class: "mono" }, last?.digest || "–"),
      ),
      h(
        "div",
        { class: "row" },
        !finished &&
          act(
            "Continue",
            name,
            () => {
              watch();
              return goOn(dir);
            },
            busy,
          ),
        act("Show", name, () => show(dir).then(watch), busy),
        act("Report", name, () => openReport(dir)),
        act("Model as zip", name, () => exportModel(dir), checkpoint === 0),
        canSaveFolders && act("Model to a folder", name, () => saveModelFolder(dir), checkpoint === 0),
        act("Run as zip", name, () => exportRun(dir)),
        act(
          "Remove",
          name,
          async () => {
            if (!confirm(`Remove the run "${name}" with its checkpoints?`)) return;
            await (await anyEngine()).storage.remove(dir);
            forget(dir);
            await refresh();
          },
          active,
        ),
      ),
    );
  }

  async function refresh(): Promise<void> {
    try {
      const found = await storedRuns();
      fill(
        list,
        ...found.map(card),
        found.length === 0 &&
          h("p", { class: "soft" }, "None yet. Train one, and it is kept here, also when the tab is closed."),
      );
      const size = await space();
      room.textContent = size ? `${bytes(size.used)} of ${bytes(size.quota)} that this site may keep are used.` : "";
    } catch (error) {
      message.say(said(error), "error");
    }
  }
  return { refresh };
}
