/** @file Several runs in one picture; and recipes trained one after the other with the same seed, to be compared. */
import type { StepMetrics } from "../../core/log.ts";
import { type CurvesPlot, curvesFigure, formatNumber, legend } from "../../core/plot.ts";
import { byId, field, fill, h, messageLine, said } from "./dom.ts";
import { allRecipes } from "./recipes.ts";
import { isActive, run, start } from "./run.ts";
import { passText, runName, type StoredRun, storedRuns } from "./runs.ts";
import { setup } from "./setup.ts";

/** The curves of a comparison, by key of StepMetrics. */
const CURVES: readonly (readonly [keyof StepMetrics, string])[] = [
  ["reward", "reward"],
  ["entropy", "entropy, nats a token"],
  ["kl", "KL to the reference, nats a token"],
  ["completions/mean_length", "completion length, tokens"],
  ["grad_norm", "gradient norm"],
  ["tokens_per_second", "tokens a second"],
];
const MOST = 8;

export function compareView(): { refresh(): Promise<void> } {
  const message = messageLine();
  const picks = h("fieldset", { class: "picks" });
  const result = h("div", { id: "comparison" });
  const recipes = h("input", {
    type: "text",
    id: "compare-recipes",
    value: "grpo, dapo, gspo",
    autocomplete: "off",
    spellcheck: "false",
  });
  const train = h("button", { type: "button", id: "compare-train", onclick: () => void trainAll() }, "Train each");
  fill(
    byId("compare"),
    h("h2", {}, "Compare runs"),
    h(
      "p",
      { class: "soft" },
      "The same seed and settings give the same prompts and the same first step: what differs after it is the recipe's, and this seed's luck.",
    ),
    picks,
    result,
    h("h2", {}, "Train recipes to compare"),
    field("Recipes", recipes, "Trained one after the other with the settings of the page Train, and chosen above."),
    h("div", { class: "row" }, train),
    message.element,
  );

  let found: StoredRun[] = [];
  const chosen = new Set<string>();

  function draw(): void {
    const runs = found.filter(({ dir }) => chosen.has(dir)).slice(0, MOST);
    if (runs.length === 0) {
      fill(
        result,
        h("p", { class: "soft" }, found.length > 0 ? "Choose runs above." : "No runs yet: train some first."),
      );
      return;
    }
    const series = (key: keyof StepMetrics) =>
      runs.map(({ dir, metrics }) => ({
        name: runName(dir),
        points: metrics.flatMap((m) => (typeof m[key] === "number" ? [{ x: m.step, y: m[key] as number }] : [])),
      }));
    const plots: CurvesPlot[] = CURVES.map(([key, title]) => ({ title, series: series(key) }));
    plots.splice(1, 0, {
      title: "pass@1, held out",
      from: 0,
      to: 1,
      series: runs.map(({ dir, evaluations }) => ({
        name: runName(dir),
        points: evaluations.map((e) => ({ x: e.step, y: e["pass@1"] ?? Number.NaN })),
      })),
    });
    const pictures = h("div", { class: "grid2 wide" });
    // The text is escaped where it is made.
    pictures.innerHTML = plots
      .filter((plot) => plot.series.some(({ points }) => points.length > 0))
      .map(curvesFigure)
      .join("");
    const names = h("div");
    names.innerHTML = legend(runs.map(({ dir }) => runName(dir)));
    const head = ["run", "recipe", "steps", "reward", "pass@1", "digest"];
    fill(
      result,
      names,
      pictures,
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Compared runs, table" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, ...head.map((name) => h("th", {}, name)))),
          h(
            "tbody",
            {},
            ...runs.map(({ dir, config, metrics, evaluations }) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, runName(dir)),
                h("td", {}, config.recipe),
                h("td", {}, metrics.at(-1)?.step ?? 0),
                h("td", {}, `${formatNumber(metrics[0]?.reward)} → ${formatNumber(metrics.at(-1)?.reward)}`),
                h("td", {}, passText(evaluations)),
                h("td", { class: "mono" }, metrics.at(-1)?.digest ?? ""),
              ),
            ),
          ),
        ),
      ),
    );
  }

  async function refresh(): Promise<void> {
    try {
      found = (await storedRuns()).filter(({ metrics }) => metrics.length > 0);
    } catch (error) {
      message.say(said(error), "error");
      return;
    }
    if (chosen.size === 0) for (const { dir } of found.slice(-3)) chosen.add(dir);
    fill(
      picks,
      h("legend", {}, `Runs, up to ${MOST}`),
      ...found.map(({ dir }) => {
        const box = h("input", {
          type: "checkbox",
          checked: chosen.has(dir),
          onchange: () => {
            if (box.checked) chosen.add(dir);
            else chosen.delete(dir);
            draw();
          },
        });
        return h("label", {}, box, runName(dir));
      }),
    );
    picks.hidden = found.length === 0;
    draw();
  }

  async function trainAll(): Promise<void> {
    const ids = recipes.value.split(/[\s,]+/).filter(Boolean);
    const known = new Set((await allRecipes()).recipes.map(({ id }) => id));
    const unknown = ids.filter((id) => !known.has(id));
    if (ids.length === 0 || unknown.length > 0) {
      message.say(`recipes: ${unknown.join(", ") || "none"} — name recipes that the page Train offers`, "error");
      return;
    }
    if (isActive(run.value.phase)) {
      message.say("A run is at work: pause it first.", "error");
      return;
    }
    const given = setup.value;
    train.disabled = true;
    chosen.clear();
    try {
      for (const [k, id] of ids.entries()) {
        message.say(`Training ${id}, ${k + 1} of ${ids.length}; its curves are on the page Train.`);
        await start(given, id);
        const { phase, dir, message: why } = run.value;
        if (dir) chosen.add(dir);
        await refresh();
        if (phase !== "finished") {
          message.say(`${id} did not finish: ${why}`, "error");
          return;
        }
      }
      message.say(`${ids.join(", ")}: done.`, "good");
    } finally {
      train.disabled = false;
    }
  }
  return { refresh };
}
