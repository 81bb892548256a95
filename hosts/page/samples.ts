/** @file Completions of the same held-out prompts, before and now, with a slider over the evaluations between. */
import { formatNumber } from "../../core/plot.ts";
import { h } from "./dom.ts";
import type { RunState } from "./run.ts";

export function samplesView(): { element: HTMLElement; show(state: RunState): void } {
  const left = h("div", { class: "samples" });
  const slider = h("input", { type: "range", id: "evaluation", min: "0", value: "0" });
  const label = h("label", { for: "evaluation" });
  const rollouts = h("tbody");
  const held = h(
    "section",
    { "aria-label": "Samples before and now" },
    h("h3", {}, "Held-out prompts, before and now"),
    h("div", { class: "slider" }, label, slider),
    left,
  );
  const latest = h(
    "section",
    { "aria-label": "Latest rollouts" },
    h("h3", {}, "Latest rollouts"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Latest rollouts, table" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", {}, "prompt"),
            h("th", { class: "left" }, "completion"),
            h("th", {}, "step"),
            h("th", {}, "reward"),
          ),
        ),
        rollouts,
      ),
    ),
  );
  let state: RunState | undefined;
  let chosen: number | null = null;
  let evaluations: RunState["evaluations"] = [];
  let lines: RunState["samples"] = [];
  slider.addEventListener("input", () => {
    chosen = Number(slider.value);
    // At its end it follows the run again.
    if (state && chosen === state.evaluations.length - 1) chosen = null;
    pairs();
  });

  const side = (title: string, sample: { completion: string; reward: number | null; correct: boolean } | undefined) =>
    sample &&
    h(
      "div",
      { class: sample.correct ? "right" : "" },
      h("h4", {}, h("span", {}, title), h("span", {}, `reward ${formatNumber(sample.reward)}`)),
      h("div", { class: "text mono" }, sample.completion || "(nothing)"),
    );

  function pairs(): void {
    const at = Math.min(chosen ?? evaluations.length - 1, evaluations.length - 1);
    const [before, now] = [evaluations[0], evaluations[at]];
    slider.max = String(Math.max(0, evaluations.length - 1));
    slider.value = String(at);
    slider.hidden = evaluations.length < 2;
    label.textContent = now ? (at === 0 ? "Before training" : `Before, and after step ${now.step}`) : "";
    left.replaceChildren(
      ...(now?.samples ?? []).map((sample, k) =>
        h(
          "div",
          { class: "sample" },
          h("div", { class: "text mono soft" }, sample.prompt),
          h("div", { class: "pair" }, side("before", before.samples[k]), at > 0 && side(`step ${now.step}`, sample)),
        ),
      ),
    );
  }

  return {
    element: h("div", {}, held, latest),
    show(next) {
      if (state && state.dir !== next.dir) chosen = null;
      state = next;
      // Evaluations on a data set score examples, and draw nothing.
      held.hidden = next.evaluations.every(({ samples }) => samples.length === 0);
      latest.hidden = next.samples.length === 0;
      if (evaluations !== next.evaluations) {
        evaluations = next.evaluations;
        pairs();
      }
      if (lines === next.samples) return;
      lines = next.samples;
      rollouts.replaceChildren(
        ...[...lines]
          .reverse()
          .map(({ prompt, completion, step, reward }) =>
            h(
              "tr",
              {},
              h("td", { class: "mono clip" }, prompt),
              h("td", { class: "mono left clip" }, completion || "(nothing)"),
              h("td", {}, step),
              h("td", {}, formatNumber(reward)),
            ),
          ),
      );
    },
  };
}
