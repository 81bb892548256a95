// Batches: what they hold, what they refuse, and the levels over them.
import { describe, expect, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { CohortError } from "../core/errors.ts";
import { Context } from "../core/rl/context.ts";

const good = () => ({
  group: [0, 0, 1],
  reward: [1, 0, 0.5],
  logp: [[-1, -2], [-0.5], [-3, -1, -2]],
  turn: [[0, 1], [0], [0, 0, 1]],
});

describe("Batch.fromCase", () => {
  test("keeps ragged rows and gives them back", () => {
    const batch = Batch.fromCase(good());
    expect([...batch.lengths]).toEqual([2, 1, 3]);
    expect(batch.nest(batch.token, batch.fields.get("logp")!.data)).toEqual(good().logp);
  });

  test.each([
    ["a NaN reward", { reward: [1, Number.NaN, 0] }, /'reward', trajectory 1: NaN/],
    ["an infinite reward", { reward: [1, Number.POSITIVE_INFINITY, 0] }, /'reward', trajectory 1: Infinity/],
    [
      "a log-probability above 0",
      { logp: [[-1, -2], [-0.5], [-3, 0.2, -2]] },
      /'logp', trajectory 2, token 1: .* 0.2 is above 0/,
    ],
    ["a text in place of a number", { logp: [[-1, "x"], [-0.5], [-3, -1, -2]] }, /'logp', trajectory 0, token 1/],
    [
      "rows of another length",
      {
        entropy: [
          [1, 1],
          [1, 1],
          [1, 1, 1],
        ],
      },
      /'entropy', trajectory 1: 2 tokens, its length is 1/,
    ],
    ["too few rows", { entropy: [[1, 1]] }, /'entropy' has 1 rows for 3/],
    ["too few rewards", { reward: [1, 0] }, /'reward' has 2 entries/],
    ["a gap in the groups", { group: [0, 0, 2] }, /no trajectory has group 1/],
    ["a negative group", { group: [0, 0, -1] }, /'group' of trajectory 2 is -1/],
    ["an unknown field", { logpold: [[-1, -2], [-0.5], [-3, -1, -2]] }, /unknown field 'logpold'.*'logp_old'/],
  ])("refuses %s", (_, change, message) => {
    try {
      Batch.fromCase({ ...good(), ...change });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(CohortError);
      expect((error as CohortError).code).toBe("bad-batch");
      expect((error as CohortError).message).toMatch(message);
    }
  });

  test("rounding above 0 is let through", () => {
    expect(() => Batch.fromCase({ ...good(), logp: [[1e-9, -2], [-0.5], [-3, -1, -2]] })).not.toThrow();
  });

  test("declared fields have the shape that the recipe says", () => {
    const batch = Batch.fromCase({ ...good(), gain: [[1], [], [2, 3]] }, { gain: "ragged" });
    expect(batch.fields.get("gain")!.level.size).toBe(3);
    expect(batch.nest(batch.fields.get("gain")!.level, batch.fields.get("gain")!.data)).toEqual([[1], [], [2, 3]]);
  });
});

describe("levels", () => {
  test("turns lie in trajectories and groups; keyed levels cross them", () => {
    const batch = Batch.fromCase(good());
    const c = new Context(batch);
    const turn = c.turn();
    expect(turn.size).toBe(5);
    expect([...turn.edge(c.trajectory).index]).toEqual([0, 0, 1, 2, 2]);
    expect([...turn.edge(c.group).index]).toEqual([0, 0, 0, 1, 1]);
    expect([...c.logp.sumOver(turn).values()]).toEqual([-1, -2, -0.5, -4, -2]);
    // (prompt, turn index): the first turns of one prompt's trajectories together.
    const number = [0, 1, 0, 0, 1];
    const keyed = turn.keyed("prompt-turn", turn.edge(c.group).index, number);
    expect([...c.logp.sumOver(turn).sumOver(keyed).values()]).toEqual([-1.5, -2, -4, -2]);
    expect(() => keyed.edge(c.trajectory)).toThrow("does not lie inside");
    c.close();
  });

  test("a selection keeps rows, renumbers groups", () => {
    const batch = Batch.fromCase({ ...good(), gain: [[1], [], [2, 3]] }, { gain: "ragged" });
    const part = batch.select([2, 0]);
    expect(part.nest(part.token, part.fields.get("logp")!.data)).toEqual([good().logp[2], good().logp[0]]);
    expect([...part.trajectory.edge(part.group).index]).toEqual([0, 1]);
    const gain = part.fields.get("gain")!;
    expect(part.nest(gain.level, gain.data)).toEqual([[2, 3], [1]]);
    expect(() => batch.select([3])).toThrow("trajectory 3 of 3");
  });
});
