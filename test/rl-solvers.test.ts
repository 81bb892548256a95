// Small exact solvers that recipes use: zero-sum games, projections, clusters, text and picture similarity.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dbscan } from "../core/rl/cluster.ts";
import { maximin } from "../core/rl/game.ts";
import { blockSimilarity } from "../core/rl/image.ts";
import { projectOrdered } from "../core/rl/projection.ts";
import { bestF1, tfidfCosines } from "../core/rl/retrieval.ts";
import { edgesOf } from "../core/rl/tree.ts";

describe("maximin", () => {
  it("solves rock-paper-scissors and a game with a dominated row", () => {
    const even = maximin([
      [0, -1, 1],
      [1, 0, -1],
      [-1, 1, 0],
    ]);
    for (const p of even.mixture) expect(p).toBeCloseTo(1 / 3, 12);
    expect(even.value).toBeCloseTo(0, 12);
    expect(
      maximin([
        [3, 1],
        [4, 2],
      ]),
    ).toEqual({ mixture: [0, 1], value: 2 });
    expect(maximin([])).toEqual({ mixture: [], value: 0 });
  });

  it("gives both players the same value", () => {
    const entry = fc.integer({ min: -9, max: 9 });
    const matrix = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
      .chain(([n, m]) => fc.array(fc.array(entry, { minLength: m, maxLength: m }), { minLength: n, maxLength: n }));
    fc.assert(
      fc.property(matrix, (rows) => {
        const { mixture, value } = maximin(rows);
        const columns = rows[0].map((_, b) => rows.map((row) => -row[b]));
        expect(mixture.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
        const worst = Math.min(...rows[0].map((_, b) => rows.reduce((sum, row, a) => sum + mixture[a] * row[b], 0)));
        expect(worst).toBeCloseTo(value, 9);
        expect(maximin(columns).value).toBeCloseTo(-value, 9);
      }),
      { numRuns: 200, seed: 3 },
    );
  });
});

describe("projectOrdered", () => {
  it("keeps what is allowed, pools a violated pair, and shortens what is too long", () => {
    const free = { pairs: [], delta: 0, squares: 10 };
    expect(projectOrdered([1, -1], free)).toEqual([1, -1]);
    const pooled = projectOrdered([2, -1, -1], { pairs: [[0, 1]], delta: 0, squares: 10 });
    for (const [i, x] of [0.5, 0.5, -1].entries()) expect(pooled[i]).toBeCloseTo(x, 9);
    const short = projectOrdered([3, -3], { ...free, squares: 2 });
    expect(short[0]).toBeCloseTo(1, 9);
    const gap = projectOrdered([0, 0], { pairs: [[0, 1]], delta: 0.5, squares: 10 });
    expect(gap[1] - gap[0]).toBeCloseTo(0.5, 9);
  });
});

describe("dbscan", () => {
  it("joins chains of dense points, counts the bound, and leaves noise out", () => {
    expect(dbscan([[0], [1], [2], [9], [20], [21]], 1, 2)).toEqual([
      [0, 1, 2],
      [4, 5],
    ]);
    expect(dbscan([[0], [1]], 0.999, 2)).toEqual([]);
  });
});

describe("similarities", () => {
  it("compares words without case, punctuation and articles", () => {
    expect(bestF1("The Vistula, river", ["vistula", "a vistula river"])).toBe(1);
    expect(bestF1("vistula river", ["vistula"])).toBe(0.6667);
    expect(bestF1("the", ["a"])).toBe(0);
    const [same, none] = tfidfCosines("warsaw river", ["warsaw river", "tea"]);
    expect(same).toBeCloseTo(1, 12);
    expect(none).toBe(0);
  });

  it("calls equal pictures alike, a blank and a drawn one not, and refuses other sizes", () => {
    const drawn = [
      [0, 255, 0, 255],
      [255, 0, 0, 255],
    ];
    const blank = drawn.map((row) => row.map(() => 255));
    expect(blockSimilarity(drawn, drawn)).toBeCloseTo(1, 12);
    expect(blockSimilarity(blank, drawn)).toBeLessThan(0.5);
    expect(() => blockSimilarity(drawn, [[0]])).toThrow("one size");
  });
});

describe("edgesOf", () => {
  it("normalises by the siblings and drops edges that tell nothing", () => {
    const tree = {
      id: 0,
      children: [
        { id: 1, reward: 1 },
        { id: 2, children: [{ id: 3, reward: 0 }] },
      ],
    };
    const edges = edgesOf(tree, { normalise: true, drop: true });
    expect(edges.map(({ parent, child, leaf }) => [parent, child, leaf])).toEqual([
      [0, 1, true],
      [0, 2, false],
    ]);
    expect(edges[0].advantage).toBeCloseTo(1, 7);
    expect(edgesOf(tree, { normalise: false, drop: false })).toHaveLength(3);
  });
});
