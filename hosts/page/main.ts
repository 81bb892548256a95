/** @file The page: its parts put in place, its views, and what works offline. */
import { STYLE } from "../../core/report.ts";
import { compareView } from "./compare.ts";
import { byId, h, said } from "./dom.ts";
import { modelCard } from "./model-card.ts";
import { recipeCard } from "./recipe-card.ts";
import { rewardCard } from "./reward-card.ts";
import { isActive, type Phase, run, showLast } from "./run.ts";
import { runPanel } from "./run-panel.ts";
import { runsView } from "./runs.ts";
import { settingsCard } from "./settings-card.ts";
import { taskCard } from "./task-card.ts";

// The look of the reports is the page's; what only the page has stands in page.css, after it.
document.head.prepend(h("style", {}, STYLE));

modelCard();
taskCard();
rewardCard();
recipeCard();
settingsCard();
runPanel();
const runs = runsView();
const compare = compareView();

const views = ["train", "runs", "compare"] as const;

function view(): void {
  const asked = location.hash.slice(1);
  const chosen = views.find((name) => name === asked) ?? "train";
  for (const name of views) {
    byId(`view-${name}`).hidden = name !== chosen;
    const link = document.querySelector(`nav a[href="#${name}"]`)!;
    if (name === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (chosen === "runs") void runs.refresh();
  if (chosen === "compare") void compare.refresh();
}
addEventListener("hashchange", view);
view();

let before: Phase = "none";
run.watch(({ phase }) => {
  // What a run leaves behind changes when it ends.
  if (isActive(before) && !isActive(phase)) view();
  before = phase;
});

showLast().catch((error) => {
  const notices = byId("notices");
  notices.textContent = said(error);
  notices.hidden = false;
});

if (isSecureContext && "serviceWorker" in navigator) {
  navigator.serviceWorker.register(new URL("./sw.js", import.meta.url), { scope: "./" }).catch(() => {
    // Without it the page works, but not offline.
  });
}
