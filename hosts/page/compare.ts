/** @file Several runs in one picture; and recipes trained one after the other with the same seed, to be compared. */
import type { StepMetrics } from "../../core/log.ts";
import { type CurvesPlot, curvesFigure, formatNumber, legend } from "../../core/plot.ts";
import type { EvaluationLine } from "../../core/run.ts";
import { byId, field, fill, h, messageLine, said } from "./dom.ts";
import { allRecipes } from "./recipes.ts";
import { isActive, run, start } from "./run.ts";
import { heldOut, leading, runName, type StoredRun, storedRuns } from "./runs.ts";
import { setup } from "./setup.ts";

type Curve = readonly [keyof StepMetrics, string];
/** The curves of a comparison of runs on rollouts, by key of StepMetrics. */
const CURVES: readonly Curve[] = [
  ["reward", "reward"],
  ["entropy", "entropy, nats a token"],
  ["kl", "KL to the reference, nats a token"],
  ["completions/mean_length", "completion length, tokens"],
  ["grad_norm", "gradient norm"],
  ["tokens_per_second", "tokens a second"],
];
/** Of runs on data sets. */
const DATA_CURVES: readonly Curve[] = [
  ["loss", "loss"],
  ["rewards/accuracies", "rewards/accuracies"],
  ["rewards/margins", "rewards/margins"],
  ["accuracy", "accuracy of scores"],
  ["margin", "margin of scores"],
];
const MOST = 8;
/** To begin with. */
const RECIPES = { rollouts: "grpo, dapo, gspo", data: "dpo, ipo, simpo" };

const trained = (metrics: readonly StepMetrics[]) => {
  const key = leading(metrics);
  return `${key} ${formatNumber(metrics[0]?.[key])} → ${formatNumber(metrics.at(-1)?.[key])}`;
};
const measured = (evaluations: readonly EvaluationLine[]) => {
  const { name, text } = heldOut(evaluations);
  return text === "–" ? text : `${name.replace(", held out", "")} ${text}`;
};

export function compareView(): { refresh(): Promise<void> } {
  const message = messageLine();
  const picks = h("fieldset", { class: "picks" });
  const result = h("div", { id: "comparison" });
  const recipes = h("input", {
    type: "text",
    id: "compare-recipes",
    value: RECIPES.rollouts,
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
      "The same seed and settings give the same prompts and the same first step: what differs after it is the recipe's, and this seed's luck. Losses are each recipe's own measure: compare accuracies.",
    ),
    picks,
    result,
    h("h2", {}, "Train recipes to compare"),
    field("Recipes", recipes, "Trained one after the other with the settings of the page Train, and chosen above."),
    h("div", { class: "row" }, train),
    message.element,
  );

  // What fits the task, as long as nobody wrote there.
  setup.watch(({ task }) => {
    if (Object.values(RECIPES).includes(recipes.value))
      recipes.value = task === "data" ? RECIPES.data : RECIPES.rollouts;
  });

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
    const evaluated = (value: (line: EvaluationLine) => number | null | undefined) =>
      runs.map(({ dir, evaluations }) => ({
        name: runName(dir),
        points: evaluations.flatMap((line) => {
          const y = value(line);
          return typeof y === "number" ? [{ x: line.step, y }] : [];
        }),
      }));
    const onData = runs.filter(({ metrics }) => leading(metrics) === "loss");
    const plots: CurvesPlot[] = CURVES.map(([key, title]) => ({ title, series: series(key) }));
    plots.splice(1, 0, {
      title: "pass@1, held out",
      from: 0,
      to: 1,
      series: evaluated((line) => line["pass@1"]),
    });
    if (onData.length > 0) {
      const share = { from: 0, to: 1 };
      // The loss of a run on rollouts is 0 on policy, and no curve: only runs on data sets have one here.
      const own = (key: keyof StepMetrics) =>
        series(key).map((one, k) => (onData.includes(runs[k]) ? one : { ...one, points: [] }));
      plots.unshift(
        ...DATA_CURVES.map(([key, title]) => ({ title, series: own(key), ...(/accura/.test(key) && share) })),
      );
      plots.splice(1, 0, { title: "loss, held out", series: evaluated((line) => line.metrics?.loss) });
      plots.splice(3, 0, {
        title: "accuracy, held out",
        ...share,
        series: evaluated((line) => line.metrics?.["rewards/accuracies"] ?? line.metrics?.accuracy),
      });
    }
    const pictures = h("div", { class: "grid2 wide" });
    // The text is escaped where it is made.
    pictures.innerHTML = plots
      .filter((plot) => plot.series.some(({ points }) => points.length > 0))
      .map(curvesFigure)
      .join("");
    const names = h("div");
    names.innerHTML = legend(runs.map(({ dir }) => runName(dir)));
    const head = ["run", "recipe", "steps", "training", "held out", "digest"];
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
                h("td", {}, trained(metrics)),
                h("td", {}, measured(evaluations)),
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
    const known = new Map((await allRecipes()).recipes.map((recipe) => [recipe.id, recipe]));
    const unknown = ids.filter((id) => !known.has(id));
    if (ids.length === 0 || unknown.length > 0) {
      message.say(`recipes: ${unknown.join(", ") || "none"} — name recipes that the page Train offers`, "error");
      return;
    }
    const onData = setup.value.task === "data";
    const others = ids.filter((id) => (onData ? !known.get(id)!.data : !known.get(id)!.rollouts));
    if (others.length > 0) {
      const [is, want] = onData
        ? ["a data set", "learn from prompts and a reward"]
        : [setup.value.task === "own" ? "prompts" : setup.value.task, "learn from a data set"];
      message.say(
        `recipes: ${others.join(", ")} ${want}, and the task is ${is} — choose another task on Train`,
        "error",
      );
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
