/** @file Step 3: the reward function, and what it says of sample completions while it is written. */
import { formatNumber } from "../../core/plot.ts";
import type { Row, Sample } from "../../core/rewards/index.ts";
import { loadTask } from "../../core/tasks/index.ts";
import { byId, field, fill, h, messageLine, said } from "./dom.ts";
import { makeEditor } from "./editor.ts";
import { exclusively, openEngine } from "./engine.ts";
import { setFault } from "./faults.ts";
import { models } from "./models.ts";
import { Rewards, syntaxFault } from "./reward.ts";
import { rewardExamples } from "./reward-examples.ts";
import { isActive, run } from "./run.ts";
import { configOf, modelFolder, rowsOf, type Setup, setup, taskOf } from "./setup.ts";

interface Shown {
  prompt: string;
  completion: string;
  /** of the completion; none where a person wrote it */
  ids: readonly number[];
  row: Row;
}

const SAMPLES = 6;
/** Parameters of a model whose samples are drawn unasked. */
const SMALL = 2e6;
const PAUSE = 250;

export function rewardCard(): void {
  const message = messageLine();
  const source = messageLine();
  const table = h("tbody");
  const editorPlace = h("div", { id: "editor" });
  const editor = makeEditor(editorPlace, "Reward function, JavaScript", setup.value.reward, (reward) =>
    setup.set({ reward }),
  );
  const example = h(
    "select",
    {
      id: "reward-example",
      onchange: () => {
        if (example.value) editor.text = rewardExamples[example.value];
        example.value = "";
      },
    },
    h("option", { value: "" }, "Start from an example …"),
    ...Object.keys(rewardExamples).map((name) => h("option", { value: name }, name)),
  );
  const attempt = h("textarea", {
    id: "attempt",
    rows: 2,
    spellcheck: "false",
    placeholder: "Type a completion to see its reward",
    oninput: () => later(),
  });
  const draw = h("button", { type: "button", id: "draw", onclick: () => drawSamples() }, "Draw samples from the model");
  const passAt = h("input", {
    type: "text",
    id: "pass-at",
    inputmode: "decimal",
    autocomplete: "off",
    onchange: () => {
      const value = Number(passAt.value);
      const fine = passAt.value.trim() !== "" && Number.isFinite(value);
      passAt.setAttribute("aria-invalid", String(!fine));
      message.say(fine ? "" : `"Right from a reward of" is ${JSON.stringify(passAt.value)}: give a number.`, "error");
      if (fine) setup.set({ passAt: value });
    },
  });
  const own = h(
    "div",
    {},
    h("div", { class: "row" }, field("Examples", example), field("Right from a reward of", passAt)),
    editorPlace,
    message.element,
  );
  const builtIn = h("p", { class: "soft" });
  fill(
    byId("reward"),
    own,
    builtIn,
    h("h3", {}, "What it says"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rewards of sample completions" },
      h(
        "table",
        { id: "preview" },
        h(
          "thead",
          {},
          h("tr", {}, h("th", {}, "prompt"), h("th", { class: "left" }, "completion"), h("th", {}, "reward")),
        ),
        table,
      ),
    ),
    h("div", { class: "row" }, draw),
    field("Your own attempt", attempt),
    source.element,
  );

  let drawn: Shown[] = [];
  let drawnFor = "";
  let loaded: { source: string; rewards: Rewards } | null = null;
  let turn = 0;
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => void preview(), PAUSE) as unknown as number;
  };

  /** The completions to show: drawn ones of this model and task, else made up. */
  function shown(): Shown[] {
    const s = setup.value;
    if (s.task !== "own") {
      const task = loadTask(taskOf(s));
      return task.prompts("train", 3, 0).flatMap((row) => {
        const right = task.supervised(row);
        const prompt = String(row.prompt);
        return [
          { row, prompt, completion: right, ids: [] },
          { row, prompt, completion: [...right].reverse().join(""), ids: [] },
        ];
      });
    }
    const rows = rowsOf(s.prompts);
    const about = `${s.model} ${s.prompts}`;
    if (drawnFor !== about) drawn = [];
    const texts =
      drawn.length > 0 ? drawn : rows.slice(0, 3).map((row) => ({ row, prompt: textOf(row), completion: "", ids: [] }));
    const typed =
      attempt.value === "" ? [] : [{ row: rows[0], prompt: textOf(rows[0]), completion: attempt.value, ids: [] }];
    return [...typed, ...texts];
  }

  async function preview(): Promise<void> {
    const mine = ++turn;
    const s = setup.value;
    if (s.task === "data") return;
    let samples: Shown[];
    try {
      samples = shown();
    } catch {
      // The prompts say themselves what is wrong with them.
      fill(table);
      return;
    }
    let score: (sample: Sample) => Promise<string>;
    if (s.task !== "own") {
      const { rewards } = loadTask(taskOf(s));
      score = async (sample) => formatNumber(await rewards[0].fn(sample));
    } else {
      const fault = syntaxFault(s.reward);
      editor.mark(fault < 0 ? null : fault);
      try {
        if (loaded?.source !== s.reward) {
          loaded?.rewards.close();
          loaded = null;
          const rewards = await Rewards.load(s.reward);
          if (mine !== turn) return rewards.close();
          loaded = { source: s.reward, rewards };
        }
      } catch (error) {
        if (mine === turn) {
          message.say(said(error), "error");
          setFault("reward", said(error));
          fill(table, ...samples.map((sample) => line(sample, "–")));
        }
        return;
      }
      setFault("reward", "");
      const { functions } = loaded.rewards;
      score = async (sample) => {
        const all = await Promise.all(
          Object.entries(functions).map(async ([name, fn]) => {
            const value = await fn(sample);
            if (value !== null && !(typeof value === "number" && Number.isFinite(value))) {
              throw new Error(`${name} returned ${value}: return a finite number, or null`);
            }
            return [name, value] as const;
          }),
        );
        const sum = all.reduce((a, [, value]) => a + (value ?? 0), 0);
        const parts = all.map(([name, value]) => `${name} ${formatNumber(value)}`).join(", ");
        return all.length === 1 ? formatNumber(all[0][1]) : `${formatNumber(sum)} (${parts})`;
      };
    }
    const lines: HTMLElement[] = [];
    let fault = "";
    for (const sample of samples) {
      const { prompt, completion, ids, row } = sample;
      try {
        const reward = await score({ prompt, completion, completionIds: ids, row });
        lines.push(line(sample, reward));
      } catch (error) {
        fault ||= said(error);
        lines.push(line(sample, "fails"));
        // It was stopped: the next change starts it again.
        if (/no answer for/.test(fault)) loaded = null;
      }
      if (mine !== turn) return;
    }
    fill(table, ...lines);
    message.say(fault, "error");
  }

  const line = ({ prompt, completion }: Shown, reward: string) =>
    h(
      "tr",
      {},
      h("td", { class: "mono clip" }, prompt),
      h("td", { class: "mono left clip" }, completion || "(nothing)"),
      h("td", {}, reward),
    );

  async function drawSamples(): Promise<void> {
    const s = setup.value;
    draw.disabled = true;
    source.say("Drawing …");
    try {
      const rows = rowsOf(s.prompts);
      const { backend, precision, maxTokens, temperature, seed } = configOf(s);
      const engine = await openEngine({ backend, precision });
      await exclusively("drawing samples", async () => {
        const found: Shown[] = [];
        for (const row of rows.slice(0, SAMPLES)) {
          if (typeof row.prompt !== "string") throw new Error("samples are drawn for prompts that are texts");
          const options = {
            model: modelFolder(s.model),
            prompt: row.prompt,
            n: 1,
            maxTokens,
            temperature,
            seed,
            precision,
          };
          for await (const { text, ids, logprob } of engine.sample(options)) {
            found.push({ row, prompt: row.prompt, completion: text, ids: ids.slice(-logprob.length) });
          }
        }
        drawn = found;
        drawnFor = `${s.model} ${s.prompts}`;
      });
      source.say("");
      await preview();
    } catch (error) {
      source.say(said(error), "error");
    } finally {
      draw.disabled = false;
    }
  }

  let before = "";
  let drawnModel = "";
  const show = (s: Setup) => {
    const isOwn = s.task === "own";
    // Examples say themselves what is good.
    byId("card-reward").hidden = s.task === "data";
    if (!isOwn) setFault("reward", "");
    own.hidden = !isOwn;
    builtIn.hidden = isOwn;
    builtIn.textContent = "The task brings its own reward: 1 where the answer is exactly right, else 0.";
    draw.hidden = !isOwn || s.model === "new";
    attempt.closest<HTMLElement>(".field")!.hidden = !isOwn;
    if (document.activeElement !== passAt) passAt.value = String(s.passAt);
    if (editor.text !== s.reward) editor.text = s.reward;
    // Small models answer at once: their samples need no button.
    const stored = models.value.list.find(({ name }) => name === s.model);
    if (isOwn && stored && stored.parameters < SMALL && drawnModel !== s.model && !isActive(run.value.phase)) {
      drawnModel = s.model;
      void drawSamples();
    }
    const now = JSON.stringify([s.task, s.hardness, s.prompts, s.reward, s.model]);
    if (now !== before) later();
    before = now;
  };
  setup.watch(show);
  models.watch(() => show(setup.value));
}

const textOf = (row: Row) => (typeof row.prompt === "string" ? row.prompt : JSON.stringify(row.prompt));
