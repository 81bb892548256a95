/** @file The page: its parts put in place, its views, and what works offline. */
import { STYLE } from "../../core/report.ts";
import { compareView } from "./compare.ts";
import { byId, h, said } from "./dom.ts";
import { faults, faulty } from "./faults.ts";
import { modelCard } from "./model-card.ts";
import { recipeCard } from "./recipe-card.ts";
import { rewardCard } from "./reward-card.ts";
import { isActive, type Phase, run, showLast } from "./run.ts";
import { runPanel } from "./run-panel.ts";
import { runsView } from "./runs.ts";
import { settingsCard } from "./settings-card.ts";
import { dataName, defaultsOf, setup } from "./setup.ts";
import { taskCard } from "./task-card.ts";

// The look of the reports is the page's; what only the page has stands in page.css, after it.
document.head.prepend(h("style", {}, STYLE));

// A phone shows the first steps and the run; the rest is one tap away and says what it holds.
const narrow = matchMedia("(max-width: 900px)");
const cardOf = (id: string) => byId(id).closest("details")!;
if (narrow.matches) for (const id of ["recipe", "settings"]) cardOf(id).open = false;
setup.watch((s) => {
  const own = s.task === "own";
  const data = s.task === "data";
  byId("brief-model").textContent = s.model === "new" ? `new, ${s.size}` : s.model;
  byId("brief-task").textContent = data ? dataName(s) : own ? "my own prompts" : s.task;
  byId("brief-reward").textContent = own ? "my function" : "the task's own";
  byId("brief-recipe").textContent = s.recipe;
  const key = (name: string) => s.keys[name] ?? defaultsOf(s)[name];
  byId("brief-settings").textContent =
    `${key("steps")} steps of ${key("promptsPerStep")} ${data ? "examples" : `× ${key("rolloutsPerPrompt")} completions`}`;
});
// What is wrong is seen, also in a step that was folded.
faults.watch(() => {
  for (const step of faulty()) cardOf(step).open = true;
});

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
  // On a phone the curves lie below: there is something to see when the first step is done.
  if (narrow.matches && phase === "training" && before !== "training") byId("h-run").scrollIntoView();
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
