// Fields that a recipe cannot read are refused in words, never by a TypeError and never by a number that means nothing.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { STANDARD_FIELDS } from "../core/batch.ts";
import { CohortError } from "../core/errors.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import { type Case, replay } from "../core/replay.ts";

const shared = new URL("../../shared/systems/cases/", import.meta.url).pathname;

/** What is put in a field's place. */
const spoilt: Record<string, (value: unknown) => unknown> = {
  text: () => "x",
  "null first": (value) => (Array.isArray(value) ? [null, ...value.slice(1)] : null),
  "short row": (value) => {
    const row = Array.isArray(value) ? value.findIndex((x) => Array.isArray(x) && x.length > 0) : -1;
    return row < 0 ? value : (value as unknown[]).map((x, i) => (i === row ? (x as unknown[]).slice(1) : x));
  },
};

const refusal = async (given: Case): Promise<unknown> =>
  replay(given).then(
    ({ outputs }) => JSON.stringify(outputs),
    (error) => error,
  );

describe("cases of the catalogue with one field of the recipe's own spoilt", () => {
  if (!existsSync(shared)) it.skip(`skipped: no ${shared}`, () => {});
  it.runIf(existsSync(shared))("are answered, or refused with a code and a remedy", async () => {
    const faults: string[] = [];
    for (const file of readdirSync(shared)) {
      const { system, case: name, params, batch, state } = JSON.parse(readFileSync(shared + file, "utf8"));
      if (!recipeIds.includes(system)) continue;
      for (const field of Object.keys(batch ?? {}).filter((key) => !(key in STANDARD_FIELDS))) {
        for (const [how, spoil] of Object.entries(spoilt)) {
          const given = { system, case: name, params, batch: { ...batch, [field]: spoil(batch[field]) }, state };
          const answer = await refusal(given);
          if (answer instanceof Error && !(answer instanceof CohortError))
            faults.push(`${file} ${field} ${how}: ${answer}`);
        }
      }
    }
    expect(faults).toEqual([]);
  });
});

const tokens = { logp: [[-1], [-1]], logp_old: [[-1], [-1]] };
const missing = { group: [0, 0], reward: [null, 1], ...tokens };

it.each<[string, Case, RegExp]>([
  [
    "a null reward that a recipe would count as 0",
    { system: "ngrpo", case: "", batch: missing },
    /'ngrpo'.*missing.*0 is null/,
  ],
  [
    "text among numbers",
    { system: "simpletir", case: "", batch: { ...missing, reward: [0, 1], void: [0, "no"] } },
    /'void' has "no" at 1 among numbers/,
  ],
  [
    "lists of other lengths",
    {
      system: "salt",
      case: "",
      batch: { reward: [1], step_state: [["a", "b"]], step_action: [["x"]], step_next: [["b", "c"]] },
    },
    /'step_action'\[0\] has 1 entries for 2 in 'step_state'/,
  ],
  [
    "rows of other lengths whose sum is the same",
    {
      system: "seeupo",
      case: "",
      batch: {
        reward: [1, 0],
        turns: [{ turn: 0, logp_old: [[-1], [-1, -1]], logp: [[-1, -1], [-1]], logp_new: [[-1], [-1, -1]] }],
      },
    },
    /'logp' has lists of other lengths/,
  ],
  [
    "a token that the vocabulary does not have",
    {
      system: "nlpo",
      case: "",
      batch: {
        logits: [[[0, 1]]],
        mask_logits: [[[0, 1]]],
        tokens: [[2]],
        logp_old: [[-1]],
        value: [[0]],
        reward_token: [[0]],
      },
    },
    /token 0 of the batch has id 2 for a row of 2/,
  ],
  [
    "a row that is no list",
    { system: "ngrpo", case: "", batch: { ...tokens, logp: [null, [-1]] } },
    /trajectory 0: 0 tokens|null/,
  ],
  [
    "a rollout that there is none of",
    {
      system: "supo",
      case: "",
      batch: { ...tokens, rollout: [0, 2], rollout_group: [0, 0], reward: [1, 0], overlong: [0, 0] },
    },
    /'rollout' names 2 of 2/,
  ],
])("refuses %s", async (_, given, sentence) => {
  const error = await refusal(given);
  expect(error).toBeInstanceOf(CohortError);
  expect((error as CohortError).code).toBe("bad-batch");
  expect((error as CohortError).message).toMatch(sentence);
});

it("takes a null reward where the recipe leaves it out of the statistics", async () => {
  const { outputs } = await replay({
    system: "grpo",
    case: "",
    batch: { ...missing, group: [0, 0], reward: [null, 1] },
  });
  expect(JSON.stringify(outputs["advantage"])).toBe("[0,0]");
});
