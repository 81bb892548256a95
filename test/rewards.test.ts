import { describe, expect, test } from "vitest";
import { CohortError } from "../core/errors.ts";
import { dryRun, type RewardFunction, runRewards, type Sample } from "../core/rewards/index.ts";

const samples: Sample[] = ["a", "bb", "ccc"].map((completion) => ({
  prompt: "p",
  completion,
  completionIds: [1],
  row: { prompt: "p" },
}));
const spec = (name: string, fn: RewardFunction, weight = 1) => ({ name, fn, weight });

test("sync and async functions are weighted, null is left out", async () => {
  const result = await runRewards(
    [
      spec("length", (s) => s.completion.length, 2),
      spec("odd", async (s) => (s.completion.length % 2 ? 10 : null)),
      spec("never", () => null),
    ],
    samples,
  );
  expect([...result.total]).toEqual([12, 4, 16]);
  expect([...result.rewards.odd]).toEqual([10, Number.NaN, 10]);
  expect(result.scored).toEqual([true, true, true]);
});

test("a sample that no function scores is marked", async () => {
  const result = await runRewards([spec("short", (s) => (s.completion.length < 3 ? 1 : null))], samples);
  expect(result.scored).toEqual([true, true, false]);
  expect(result.total[2]).toBe(0);
});

test("at most `concurrency` calls are in flight, and order of settling changes nothing", async () => {
  let flying = 0;
  let most = 0;
  const fn: RewardFunction = async (s) => {
    most = Math.max(most, ++flying);
    for (let i = 0; i < 10 - s.completion.length; i++) await null;
    flying--;
    return s.completion.length;
  };
  const many = Array.from({ length: 20 }, (_, i) => ({ ...samples[0], completion: "x".repeat(i % 7) }));
  const result = await runRewards([spec("r", fn)], many, { concurrency: 3 });
  expect(most).toBe(3);
  expect([...result.total]).toEqual(many.map((s) => s.completion.length));
});

describe("refuses, naming function, sample, value and remedy", () => {
  test.each([
    ["NaN", () => Number.NaN, /returned NaN/],
    ["Infinity", () => Number.POSITIVE_INFINITY, /returned Infinity/],
    ["undefined", () => undefined, /returned undefined/],
    ["a list", () => [1, 2, 3], /returned \[1,2,3\]/],
    ["text", () => "1", /returned "1"/],
    ["a boolean", () => true, /returned true/],
    [
      "a throw",
      () => {
        throw new Error("no such word");
      },
      /the function threw "no such word"/,
    ],
    ["a bigint", () => 1n, /returned 1n —/],
    ["a bigint within", () => [1n], /returned \["1n"\] —/],
    ["a symbol", () => Symbol("s"), /returned Symbol\(s\) —/],
    [
      "what holds itself",
      () => {
        const list: unknown[] = [];
        list.push(list);
        return list;
      },
      /returned an object that JSON cannot hold —/,
    ],
    ["a rejection with nothing", () => Promise.reject(), /the function threw nothing: undefined, without a reason —/],
    ["a rejection with a text", () => Promise.reject("no"), /the function threw "no" —/],
    ["an error without a message", () => Promise.reject(new RangeError()), /threw RangeError without a message —/],
    ["a rejection", () => Promise.reject(new Error("offline")), /the function threw "offline"/],
  ])("%s", async (_, bad, message) => {
    const fn = ((s: Sample) => (s.completion === "bb" ? bad() : 1)) as RewardFunction;
    const failure = await runRewards([spec("mine", fn)], samples).catch((e) => e);
    expect(failure).toBeInstanceOf(CohortError);
    expect(failure.code).toBe("bad-reward");
    expect(failure.message).toMatch(/^reward "mine", sample 1, completion "bb": /);
    expect(failure.message).toMatch(message);
    expect(failure.message).toMatch(/ — (return|catch)/);
  });

  test("long completions are cut at 80 characters", async () => {
    const long = [{ ...samples[0], completion: "z".repeat(200) }];
    const failure = await runRewards([spec("r", () => Number.NaN)], long).catch((e) => e);
    expect(failure.message).toContain(`"${"z".repeat(80)}…"`);
    expect(failure.message).not.toContain("z".repeat(81));
  });

  test("the first bad sample is the one named, though a later one fails sooner", async () => {
    const fn: RewardFunction = async (s) => {
      if (s.completion === "a") for (let i = 0; i < 20; i++) await null;
      return Number.NaN;
    };
    const failure = await runRewards([spec("r", fn)], samples).catch((e) => e);
    expect(failure.message).toContain("sample 0");
  });

  test("no function, two of one name, a weight that is no number", async () => {
    await expect(runRewards([], samples)).rejects.toThrow(/no reward function/);
    await expect(runRewards([spec("r", () => 1), spec("r", () => 1)], samples)).rejects.toThrow(/two reward functions/);
    await expect(runRewards([spec("r", () => 1, Number.NaN)], samples)).rejects.toThrow(/weight of "r" is NaN/);
  });

  test("a CohortError keeps its own sentence and remedy, and says whose it is", async () => {
    const inner = new CohortError("bad-input", "lookup: the row has no column x", "add it");
    const fn = () => Promise.reject(inner);
    const failure = await runRewards([spec("mine", fn)], samples).catch((e) => e);
    expect(failure.message).toBe('reward "mine", sample 0, prompt "p": lookup: the row has no column x — add it');
    // A run that is stopped gives up a step for this code and no other.
    expect([failure.code, failure.cause]).toEqual(["bad-reward", inner]);
  });
});

describe("the trial before training says that it is one, on what", () => {
  const empty = [{ ...samples[0], prompt: `Q${"?".repeat(99)}`, completion: "" }];
  const trial = `reward "mine", in the trial before training, on an empty completion to the prompt "Q${"?".repeat(59)}…": `;
  const broken = (value: unknown) => dryRun([spec("mine", (() => value) as RewardFunction)], empty).catch((e) => e);

  test("a bad value, a throw, a row that does not fit", async () => {
    expect((await broken(1n)).message).toBe(
      `${trial}the function returned 1n — a model may write nothing too: return one finite number for this one sample, or null where the reward does not apply`,
    );
    expect((await broken(Promise.reject())).message).toContain(`${trial}the function threw nothing: undefined`);
    const inner = new CohortError("bad-reward", "lookup: no column x", "add it");
    expect((await broken(Promise.reject(inner))).message).toBe(`${trial}lookup: no column x — add it`);
  });

  test("messages of a chat are shown as text; a step is no trial", async () => {
    const chat = [{ ...empty[0], prompt: [{ role: "user", content: "hi" }] }];
    const fn = () => Number.NaN;
    await expect(dryRun([spec("r", fn)], chat)).rejects.toThrow('to the prompt "hi": the function returned NaN');
    await expect(runRewards([spec("r", fn)], chat)).rejects.toThrow(
      'reward "r", sample 0, completion "": the function',
    );
  });

  test("nothing applies", async () => {
    await expect(dryRun([spec("r", () => null)], [empty[0], samples[1]])).rejects.toThrow(
      /^reward "r", in the trial before training: returned null for all 2 samples \(an empty completion to the prompt "Q.*, the completion "bb" to the prompt "p"\) — /,
    );
  });
});
