/** @file The run in hand: its buttons, progress, plots, and samples side by side. */
import type { StepMetrics } from "../../core/log.ts";
import { formatNumber, plotFigure } from "../../core/plot.ts";
import { runPlots } from "../../core/report.ts";
import { byId, fill, h, said } from "./dom.ts";
import { engineState } from "./engine.ts";
import { exportModel, openReport } from "./export.ts";
import { faults, faulty } from "./faults.ts";
import { goOn, isActive, pause, type RunState, run, start } from "./run.ts";
import { samplesView } from "./samples.ts";
import { setup } from "./setup.ts";
import { tryView } from "./try.ts";

/** Shown first; the others are one click away. */
const FIRST = ["reward", "pass@1", "entropy, nats", "KL", "completion length", "tokens a second"];
/** Of a run on a data set, whose curves are named by their keys. */
const FIRST_DATA = [
  "loss",
  "loss, held out",
  "rewards/accuracies",
  "rewards/accuracies, held out",
  "rewards/margins",
  "accuracy",
  "accuracy, held out",
  "margin",
  "entropy",
  "tokens a second",
];
const REDRAW = 400;

const isData = (metrics: readonly StepMetrics[]) => metrics[0]?.epoch !== undefined;

const remaining = (metrics: readonly StepMetrics[], steps: number): string => {
  const times = metrics.slice(-20).flatMap((m) => m.step_time ?? []);
  if (times.length === 0) return "";
  const left = ((steps - metrics.at(-1)!.step) * times.reduce((a, b) => a + b)) / times.length;
  return left < 90 ? `, about ${Math.ceil(left)} s left` : `, about ${Math.ceil(left / 60)} min left`;
};

export function runPanel(): void {
  const act = (name: string, id: string, work: () => unknown, kind = "") =>
    h("button", { type: "button", id, class: kind, onclick: () => void work() }, name);
  const attempt = (work: (dir: string) => Promise<unknown>) => () =>
    work(run.value.dir).catch((error) => run.set({ message: said(error) }));
  const train = act("Train", "train", () => start(setup.value), "primary");
  const halt = act("Pause", "pause", pause, "primary");
  const resume = act("Continue", "continue", () => goOn(run.value.dir), "primary");
  const model = act("Export model", "export-model", attempt(exportModel));
  const report = act("Open report", "open-report", attempt(openReport));
  const status = h("p", { id: "status", role: "status" });
  const message = h("p", { class: "message", id: "run-message", role: "status", hidden: true });
  const progress = h("progress", { "aria-label": "Steps done", max: "1", value: 0 });
  const title = h("p", { class: "soft", id: "run-title" });
  const plots = h("div", { class: "grid2", id: "plots" });
  const more = h("div", { class: "grid2" });
  const curves = h("details", {}, h("summary", {}, "More curves"), more);
  const samples = samplesView();
  const trial = tryView();
  const digest = h("p", { class: "soft mono", id: "digest" });
  fill(
    byId("run"),
    h(
      "div",
      { class: "controls" },
      h("div", { class: "row" }, train, halt, resume, model, report),
      progress,
      status,
      message,
    ),
    title,
    plots,
    curves,
    trial.element,
    samples.element,
    digest,
  );

  let drawn: Pick<RunState, "metrics" | "evaluations"> | null = null;
  let waiting = false;
  let last = 0;
  const draw = () => {
    waiting = false;
    last = performance.now();
    const { metrics, evaluations } = run.value;
    if (drawn?.metrics === metrics && drawn.evaluations === evaluations) return;
    drawn = { metrics, evaluations };
    // The text is escaped where it is made.
    const all = runPlots(metrics, evaluations).filter(({ points }) => points.length > 0);
    const first = isData(metrics)
      ? FIRST_DATA.flatMap((name) => all.find(({ title }) => title === name) ?? []).slice(0, FIRST.length)
      : FIRST.flatMap((name) => all.find(({ title }) => title.startsWith(name)) ?? []);
    plots.innerHTML = first.map(plotFigure).join("");
    more.innerHTML = all
      .filter((plot) => !first.includes(plot))
      .map(plotFigure)
      .join("");
    plots.hidden = curves.hidden = metrics.length === 0 && evaluations.length === 0;
  };
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    // A page in the background draws nothing.
    setTimeout(() => requestAnimationFrame(draw), Math.max(0, REDRAW - (performance.now() - last)));
  };

  // A button that vanishes under the finger takes the focus with it: the one in its place gets it.
  const buttons = [halt, resume, train];
  let focused = false;
  const keepFocus = () => {
    const next = buttons.find((button) => !button.hidden && !button.disabled);
    const lost = focused && (document.activeElement === document.body || document.activeElement === null);
    if (lost) next?.focus({ preventScroll: true });
  };
  addEventListener("focusin", ({ target }) => {
    focused = buttons.includes(target as HTMLButtonElement);
  });
  addEventListener("pointerdown", ({ target }) => {
    if (!buttons.includes(target as HTMLButtonElement)) focused = false;
  });

  const show = () => {
    const { phase, config, info, metrics, message: text, dir } = run.value;
    const active = isActive(phase);
    const wrong = faulty();
    const { busy } = engineState.value;
    document.body.dataset["phase"] = phase;
    train.hidden = active;
    train.textContent = phase === "none" ? "Train" : "New run";
    train.disabled = wrong.length > 0 || (busy !== "" && !active);
    halt.hidden = !active;
    halt.disabled = phase === "pausing";
    resume.hidden = !(phase === "paused" || (phase === "failed" && dir !== ""));
    train.classList.toggle("primary", resume.hidden);
    resume.disabled = busy !== "";
    model.hidden = report.hidden = active || dir === "";
    const done = metrics.at(-1);
    const shown = isData(metrics) ? "loss" : "reward";
    const steps = config?.steps ?? 0;
    progress.hidden = phase === "none";
    progress.max = Math.max(1, steps);
    progress.value = done?.step ?? 0;
    const names = wrong.map((name) => `${name[0].toUpperCase()}${name.slice(1)}`).join(" and ");
    const unready = `${names} ${wrong.length > 1 ? "say" : "says"} in red why.`;
    const after = active ? remaining(metrics, steps) : wrong.length > 0 ? ` · a new one is not ready: ${unready}` : "";
    status.textContent =
      phase === "none"
        ? wrong.length > 0
          ? `Not ready: ${unready}`
          : "Ready."
        : done
          ? `Step ${done.step} of ${steps} · ${shown} ${formatNumber(done[shown])}${after}`
          : "";
    message.textContent = text || (phase === "none" ? "" : busy && !active ? `The engine is ${busy} …` : "");
    message.hidden = message.textContent === "";
    message.dataset["kind"] = phase === "failed" ? "error" : phase === "finished" ? "good" : "note";
    const where = info ? ` · ${formatNumber(info.parameters)} parameters · ${info.device}` : "";
    title.textContent = dir ? `${dir.replace(/^runs\//, "")}${where}` : "";
    digest.textContent = run.value.digest ? `digest of the weights ${run.value.digest}` : "";
    samples.show(run.value);
    trial.show(run.value);
    redraw();
    keepFocus();
  };
  run.watch(show);
  setup.watch(show);
  faults.watch(show);
  engineState.watch(show);
  addEventListener("beforeunload", (event) => {
    if (isActive(run.value.phase)) event.preventDefault();
  });
}
