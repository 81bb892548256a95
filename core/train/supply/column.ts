/** @file What a column of the prompt file says of an answer: labels of thought, lists of right entries, an author's prose. */
import { CohortError } from "../../errors.ts";
import { words } from "../../rl/text.ts";
import { hashText } from "../../rng.ts";
import type { Means, Trajectory } from "../trajectories.ts";
import { judgeScore } from "./demonstration.ts";
import { groupsOf, probes, type Supply } from "./types.ts";

/** For supplies that need a column. @param holds what each row's value is, a phrase */
export const needsColumn =
  (name: string, holds: string): NonNullable<Supply["missing"]> =>
  (task, { seed }) =>
    task.prompts("train", 1, seed)[0]?.[name] !== undefined
      ? undefined
      : {
          what: `task ${task.name} has no column "${name}"`,
          remedy: `give every row of the prompt file a column "${name}": ${holds}`,
        };

/** @throws CohortError "bad-input" naming the prompt whose value is another */
export function column<T>({ sample }: Trajectory, name: string, is: (value: unknown) => value is T, holds: string): T {
  const value = sample.row[name];
  if (is(value)) return value;
  throw new CohortError(
    "bad-input",
    `prompt ${JSON.stringify(sample.prompt).slice(0, 60)}: its column "${name}" is ${JSON.stringify(value) ?? "absent"}`,
    `give it ${holds}`,
  );
}

// ── thought ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const [OPEN, CLOSE] = ["<think>", "</think>"];
const NEEDED = "true where a good answer needs thought, else false";
const isFlag = (x: unknown): x is boolean => typeof x === "boolean";

/** Tokens after which the text opens a thought: 0 where the prompt does; null where none is opened, or nothing follows. */
function decision(t: Trajectory, { session }: Means): number | null {
  const { tokenizer } = session.loaded;
  const text = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecial: false });
  if (text(t.context).trimEnd().endsWith(OPEN)) return 0;
  const opens = (n: number) => text(t.ids.slice(0, n)).includes(OPEN);
  let [no, yes] = [0, t.ids.length];
  if (!opens(yes)) return null;
  while (yes - no > 1) {
    const middle = (no + yes) >> 1;
    if (opens(middle)) yes = middle;
    else no = middle;
  }
  return yes < t.ids.length ? yes : null;
}

/** What is between the marks; null where they are not there in this order, the opening one first of all. */
function thoughtOf(t: Trajectory, { session }: Means): string | null {
  const before = session.loaded.tokenizer.decode(t.context, { skipSpecial: false }).trimEnd();
  const whole = before.endsWith(OPEN) ? OPEN + t.sample.completion : t.sample.completion.trimStart();
  const end = whole.indexOf(CLOSE);
  return whole.startsWith(OPEN) && end >= 0 ? whole.slice(OPEN.length, end) : null;
}

export const thoughtNeeded: Supply = {
  is: 'whether the prompt needs thought: its column "think"',
  missing: needsColumn("think", NEEDED),
  field: (step) => step.trajectories.map((t) => Number(column(t, "think", isFlag, NEEDED))),
  probe: probes.trajectory,
};

export const thoughtUsed: Supply = {
  is: "whether there is something between <think> and </think>",
  field: (step, means) => step.trajectories.map((t) => Number((thoughtOf(t, means) ?? "").trim() !== "")),
  probe: probes.trajectory,
};

export const thoughtBroken: Supply = {
  is: "whether the rollout does not begin with a thought, be it empty, between <think> and </think>",
  field: (step, means) => step.trajectories.map((t) => Number(thoughtOf(t, means) === null)),
  probe: probes.trajectory,
};

export const thoughtDecision: Supply = {
  is: "the place of the token after <think>, which decides whether there is a thought; null where there is none",
  field: (step, means) => step.trajectories.map((t) => decision(t, means)),
  probe: () => [0, 1, null, 0],
};

// ── lists ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const RIGHT = "a list of the right entries, as text";
const isList = (x: unknown): x is string[] => Array.isArray(x) && x.every((entry) => typeof entry === "string");
const plain = (entry: string): string => entry.trim().toLowerCase();

export const hits: Supply = {
  is: 'whether each line, as many as the parameter `rec_num` says, is among the right ones: those of the column "relevant"',
  missing: needsColumn("relevant", RIGHT),
  field: (step, { params }) =>
    step.trajectories.map((t) => {
      const right = new Set(column(t, "relevant", isList, RIGHT).map(plain));
      const lines = t.sample.completion.split("\n");
      // A title that comes again is no second hit.
      return Array.from({ length: (params.rec_num as number) ?? lines.length }, (_, k) =>
        Number(lines[k] !== undefined && right.delete(plain(lines[k]))),
      );
    }),
  probe: probes.ragged,
};

export const line: Supply = {
  is: "the number of the line that each token belongs to; a line break belongs to the line it ends",
  field: (step, { session }) => {
    const breaks = new Map<number, number>();
    const breaksOf = (id: number): number => {
      let n = breaks.get(id);
      if (n === undefined) {
        n = session.loaded.tokenizer.decode([id], { skipSpecial: false }).split("\n").length - 1;
        breaks.set(id, n);
      }
      return n;
    };
    return step.trajectories.map((t) => {
      let n = 0;
      return t.ids.map((id) => {
        n += breaksOf(id);
        return n - breaksOf(id);
      });
    });
  },
  probe: probes.token,
};

export const last: Supply = {
  is: "1 on the token that ends a rollout",
  field: (step, { session }) =>
    step.trajectories.map((t) => t.ids.map((id) => Number(session.loaded.stopIds.includes(id)))),
  probe: probes.token,
};

// ── prose ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const PROSE = "text of the author whose style is wanted";
const isText = (x: unknown): x is string => typeof x === "string";
const BUCKETS = 512;

/** How often each three characters in a row occur, by a hash of them. */
export function trigrams(text: string): number[] {
  const vector = new Array<number>(BUCKETS).fill(0);
  const letters = [...text.toLowerCase()];
  for (let k = 0; k + 3 <= letters.length; k++) vector[hashText(letters.slice(k, k + 3).join("")) % BUCKETS]++;
  return vector;
}

export const textEmbedding: Supply = {
  is: "counts of three characters in a row of each rollout",
  field: (step) => step.trajectories.map((t) => trigrams(t.sample.completion)),
  probe: () => [
    [1, 0],
    [0, 1],
    [0, 0],
    [1, 1],
  ],
};

export const authorEmbedding: Supply = {
  is: 'the same counts of the author\'s text that each prompt names: its column "author"',
  missing: needsColumn("author", PROSE),
  field: (step) =>
    groupsOf(step).map((p) =>
      trigrams(column(step.trajectories.find((t) => t.prompt === p) as Trajectory, "author", isText, PROSE)),
    ),
  probe: () => [
    [1, 0],
    [0, 1],
  ],
};

export const judgeDigit: Supply = {
  is: `a digit from 0 to 9: tenths of what follows. ${judgeScore.is}`,
  missing: judgeScore.missing,
  field: (step, means, shape) =>
    (judgeScore.field!(step, means, shape) as number[]).map((x) => Math.max(0, Math.min(9, Math.floor(10 * x)))),
  probe: probes.trajectory,
};

export const wordCount: Supply = {
  is: "words of each rollout",
  field: (step) => step.trajectories.map((t) => words(t.sample.completion).length),
  probe: probes.trajectory,
};

export const theEnd: Supply = {
  is: 'whether a rollout ends with "The end"',
  field: (step) => step.trajectories.map((t) => Number(/the\s*end[.!]?\s*$/i.test(t.sample.completion))),
  probe: probes.trajectory,
};
