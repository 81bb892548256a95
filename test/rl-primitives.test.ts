// Every primitive of the policy-optimisation core: values against plain JavaScript, derivatives against differences.
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { Batch } from "../core/batch.ts";
import { engine } from "../core/rl/engine.ts";
import { gradients } from "../core/rl/grad.ts";
import { Graph } from "../core/rl/graph.ts";
import { ALL, Level } from "../core/rl/level.ts";
import { type ElementwiseName, elementwise } from "../core/rl/ops.ts";
import { digamma, exp, logGamma } from "../core/rl/scalar.ts";
import type { Vec } from "../core/rl/vec.ts";
import { random } from "./rl-support.ts";

type Build = (g: Graph, x: Vec[]) => Vec;

/** Weighted sum of the result, so that every element's derivative is seen. */
function lossOf(g: Graph, y: Vec): Vec {
  const weights = Float64Array.from({ length: y.level.size }, (_, i) => 0.5 + ((i * 7) % 5) / 4);
  return y.mul(g.constant(y.level, weights)).sumOver(ALL);
}

/** Largest difference between derivative and central differences over all operands. */
function check(levels: Level[], data: Float64Array[], build: Build, step = 1e-5): number {
  const value = (numbers: Float64Array[]): number => {
    const g = new Graph();
    try {
      return lossOf(
        g,
        build(
          g,
          numbers.map((d, k) => g.input(levels[k], d)),
        ),
      ).value();
    } finally {
      g.close();
    }
  };
  const g = new Graph();
  const inputs = data.map((d, k) => g.input(levels[k], d));
  const derivatives = g.evaluate(gradients(lossOf(g, build(g, inputs)), inputs));
  g.close();
  let worst = 0;
  data.forEach((d, k) => {
    for (let i = 0; i < d.length; i++) {
      const moved = (delta: number) => data.map((e, j) => (j === k ? e.map((x, at) => (at === i ? x + delta : x)) : e));
      const slope = (value(moved(step)) - value(moved(-step))) / (2 * step);
      worst = Math.max(worst, Math.abs(slope - derivatives[k][i]) / Math.max(1, Math.abs(slope)));
    }
  });
  return worst;
}

const METHOD: Partial<Record<ElementwiseName, (x: Vec[]) => Vec>> = {
  select: ([c, a, b]) => c.where(a, b),
  copy: ([x]) => x.add(0),
};

describe("elementwise primitives have the derivatives of finite differences", () => {
  for (const [name, { sample, apart = 0 }] of Object.entries(elementwise)) {
    if (sample.length === 0) continue;
    it(name, () => {
      const next = random(name.length * 31 + sample.length);
      const n = 9;
      const level = new Level("element", n);
      const data = sample.map(([lo, hi]) => Float64Array.from({ length: n }, () => lo + (hi - lo) * next()));
      // Away from kinks: operands that are compared keep their distance.
      if (apart > 0) {
        for (let i = 0; i < n; i++) {
          for (let k = 1; k < data.length; k++) if (Math.abs(data[k][i] - data[0][i]) < apart) data[0][i] += 2 * apart;
        }
      }
      const call = METHOD[name as ElementwiseName];
      const build: Build = (_, [x, ...rest]) =>
        call ? call([x, ...rest]) : (x as unknown as Record<string, (...r: Vec[]) => Vec>)[name](...rest);
      // Clip bounds of the surrogate are constants by definition.
      const wanted = name.startsWith("surrogate") ? 2 : data.length;
      const worst = check(
        Array.from({ length: wanted }, () => level),
        data.slice(0, wanted),
        (g, x) => build(g, [...x, ...data.slice(wanted).map((d) => g.constant(level, d))]),
      );
      if (name === "surrogateSlope") return; // its operand a is never differentiated: a derivative of a derivative
      expect(worst).toBeLessThan(1e-7);
    });
  }
});

/** Segments of the given sizes, contiguous, or (ten elements) dealt out in turn. */
function segments(sizes: number[], dealt: boolean): { fine: Level; coarse: Level; index: Int32Array } {
  const list = sizes.flatMap((n, s) => new Array<number>(n).fill(s));
  const index = Int32Array.from(dealt ? list.map((_, i) => list[(i * 3) % 10]) : list);
  const fine = new Level("fine", index.length);
  const coarse = new Level("coarse", sizes.length);
  fine.link(coarse, { index });
  expect(fine.edge(coarse).offsets === undefined).toBe(dealt);
  return { fine, coarse, index };
}

const STRUCTURED: Record<string, { dealt?: boolean; build: (x: Vec, coarse: Level, g: Graph) => Vec }> = {
  sum: { dealt: true, build: (x, c) => x.sumOver(c) },
  mean: { dealt: true, build: (x, c) => x.meanOver(c) },
  weightedMean: {
    dealt: true,
    build: (x, c, g) =>
      x.meanOver(
        c,
        g.constant(
          x.level,
          Float64Array.from({ length: x.level.size }, (_, i) => (i % 3) / 2),
        ),
      ),
  },
  centre: { dealt: true, build: (x, c) => x.centreOver(c) },
  variance: { dealt: true, build: (x, c) => x.varOver(c, { ddof: 1 }) },
  deviation: { dealt: true, build: (x, c) => x.stdOver(c).add(1).log() },
  max: { dealt: true, build: (x, c) => x.maxOver(c) },
  min: { dealt: true, build: (x, c) => x.minOver(c) },
  logSumExp: { dealt: true, build: (x, c) => x.logSumExpOver(c) },
  othersMean: { dealt: true, build: (x, c) => x.othersMeanOver(c) },
  spreadBack: { dealt: true, build: (x, c) => x.sub(x.meanOver(c)).mul(x) },
  recurForward: {
    build: (x, c, g) =>
      x.recur(
        c,
        "forward",
        g.constant(
          x.level,
          x.level.size ? Float64Array.from({ length: x.level.size }, (_, i) => 0.3 + (i % 4) / 5) : [],
        ),
      ),
  },
  recurBackward: { build: (x, c) => x.recur(c, "backward", 0.9) },
  recurDecay: {
    build: (x, c) =>
      x
        .square()
        .recur(c, "backward", x.sigmoid())
        .add(x.recur(c, "forward", x.tanh())),
  },
  shift: { build: (x, c) => x.shift(c, 1).mul(x).add(x.shift(c, -2)) },
  sort: { build: (x, c) => x.sortOver(c).mul(x) },
  median: { build: (x, c) => x.medianOver(c) },
  quantile: { build: (x, c) => x.quantileOver(c, 0.3) },
  runningMin: { build: (x, c) => x.runningOver(c, "min") },
  runningMax: { build: (x, c) => x.runningOver(c, "max").mul(x) },
  stopped: {
    build: (x, c) =>
      x
        .mul(x.stop().sumOver(c))
        .sub(x.mul(x.stop().sumOver(c)).stop())
        .mul(0)
        .add(x),
  },
};

describe("primitives between levels have the derivatives of finite differences", () => {
  for (const [name, { dealt, build }] of Object.entries(STRUCTURED)) {
    for (const way of dealt ? [false, true] : [false]) {
      it(`${name}${way ? ", elements dealt out" : ""}`, () => {
        const { fine, coarse } = segments([3, 1, 0, 4, 2], way);
        const next = random(name.length + 5);
        const data = Float64Array.from({ length: fine.size }, (_, i) => 2 * next() - 1 + i * 1e-3);
        expect(check([fine], [data], (g, [x]) => build(x, coarse, g))).toBeLessThan(1e-7);
      });
    }
  }
});

describe("values", () => {
  const sizes = fc.array(fc.oneof(fc.nat(5), fc.integer({ min: 200, max: 700 })), { minLength: 1, maxLength: 5 });
  const mean = (a: number[]) => (a.length ? a.reduce((s, x) => s + x, 0) / a.length : 0);

  test("reductions agree with plain loops for any raggedness, across blocks", () => {
    fc.assert(
      fc.property(sizes, fc.integer(), (given, seed) => {
        const { fine, coarse, index } = segments(given, false);
        const next = random(seed);
        const x = Float64Array.from({ length: fine.size }, () => 10 * next() - 5);
        const rows = given.map((_, s) => [...x].filter((_, i) => index[i] === s));
        const g = new Graph();
        const v = g.constant(fine, x);
        const [sum, max, min, variance, lse, loo] = g.evaluate([
          v.sumOver(coarse),
          v.maxOver(coarse),
          v.minOver(coarse),
          v.varOver(coarse, { ddof: 1 }),
          v.logSumExpOver(coarse),
          v.othersMeanOver(coarse),
        ]);
        rows.forEach((row, s) => {
          expect(sum[s]).toBeCloseTo(
            row.reduce((a, b) => a + b, 0),
            9,
          );
          expect(max[s]).toBe(row.length ? Math.max(...row) : 0);
          expect(min[s]).toBe(row.length ? Math.min(...row) : 0);
          const m = mean(row);
          expect(variance[s]).toBeCloseTo(
            row.length > 1 ? row.reduce((a, b) => a + (b - m) ** 2, 0) / (row.length - 1) : 0,
            9,
          );
          if (row.length) expect(lse[s]).toBeCloseTo(Math.log(row.reduce((a, b) => a + Math.exp(b), 0)), 9);
        });
        for (let i = 0; i < x.length; i++) {
          const row = rows[index[i]];
          expect(loo[i]).toBeCloseTo(
            row.length > 1 ? (row.reduce((a, b) => a + b, 0) - x[i]) / (row.length - 1) : 0,
            9,
          );
        }
        g.close();
      }),
      { numRuns: 40, seed: 3 },
    );
  });

  test("a segment's sum has the same bits wherever it stands in the batch", () => {
    const next = random(4);
    const row = Float64Array.from({ length: 777 }, () => next() - 0.5);
    const sumAt = (before: number): number => {
      const data = new Float64Array(before + row.length + 3).fill(0.1);
      data.set(row, before);
      const fine = new Level("fine", data.length);
      const coarse = new Level("coarse", 3);
      fine.link(coarse, { offsets: Int32Array.of(0, before, before + row.length, data.length) });
      const g = new Graph();
      const sum = g.constant(fine, data).sumOver(coarse).values()[1];
      g.close();
      return sum;
    };
    const first = sumAt(0);
    for (const before of [1, 2, 3, 100, 255, 256, 257, 1001]) expect(sumAt(before)).toBe(first);
  });

  test("sorting, ranks and quantiles", () => {
    const { fine, coarse } = segments([4, 1, 3], false);
    const g = new Graph();
    const x = g.constant(fine, [3, 1, 2, 1, 9, 0, -1, 5]);
    const [sorted, rank, median, quarter] = g.evaluate([
      x.sortOver(coarse),
      x.rankOver(coarse),
      x.medianOver(coarse),
      x.quantileOver(coarse, 0.25),
    ]);
    expect([...sorted]).toEqual([1, 1, 2, 3, 9, -1, 0, 5]);
    expect([...rank]).toEqual([3, 0, 2, 1, 0, 1, 0, 2]);
    expect([...median]).toEqual([1.5, 9, 0]);
    expect([...quarter]).toEqual([1, 9, -0.5]);
    g.close();
  });

  test("equal values have a deviation of exactly 0, whatever they are", () => {
    const { fine, coarse } = segments([7, 3], false);
    const g = new Graph();
    const x = g.constant(fine, new Float64Array(10).fill(0.1));
    expect([...x.stdOver(coarse, { ddof: 1 }).values()]).toEqual([0, 0]);
    expect([...x.centreOver(coarse).values()].every((v) => v === 0)).toBe(true);
    g.close();
  });

  test("of two levels with the same elements the one declared below rules, whatever stands first", () => {
    const coarse = new Level("coarse", 3);
    const fine = new Level("fine", 3).link(coarse, { index: Int32Array.of(2, 0, 1) });
    const g = new Graph();
    const x = g.constant(fine, [1, 2, 3]);
    const y = g.constant(coarse, [10, 20, 30]);
    for (const sum of [x.add(y), y.add(x), y.gt(0).where(x.add(y), 0)]) {
      expect(sum.level).toBe(fine);
      expect([...sum.values()]).toEqual([31, 12, 23]);
    }
    expect(g.full(coarse, 0).add(x).level).toBe(fine);
    g.close();
  });

  test("division by 0 gives 0, logarithms and exponentials stay finite", () => {
    const level = new Level("element", 3);
    const g = new Graph();
    const zero = g.constant(level, [0, 0, 0]);
    expect([...g.constant(level, [1, 0, -1]).div(zero).values()]).toEqual([0, 0, 0]);
    for (const v of [zero.log(), g.constant(level, [1e4, -1e4, 0]).exp(), g.constant(level, [-1, 0, 5]).sqrt()]) {
      expect(v.values().every((x) => x - x === 0)).toBe(true);
    }
    g.close();
  });

  test("exp is within an ulp of the platform's over its range", () => {
    let worst = 0;
    const next = random(8);
    for (let k = 0; k < 20000; k++) {
      const x = 600 * next() - 300;
      const want = Math.exp(x);
      worst = Math.max(worst, Math.abs(exp(x) - want) / (want * 2 ** -52));
    }
    expect(exp(0)).toBe(1);
    expect(worst).toBeLessThan(1.1);
  });

  test("ln Γ and ψ at known points", () => {
    expect(logGamma(1)).toBeCloseTo(0, 13);
    expect(logGamma(0.5)).toBeCloseTo(0.5723649429247001, 13);
    expect(logGamma(10)).toBeCloseTo(12.801827480081469, 12);
    expect(digamma(1)).toBeCloseTo(-0.5772156649015329, 13);
  });

  test("memory stays where it is when a computation is repeated", () => {
    const level = new Level("token", 50000);
    const data = new Float64Array(50000).fill(0.5);
    const run = (): void => {
      const g = new Graph();
      const x = g.input(level, data);
      const [d] = gradients(x.exp().mul(x).sumOver(ALL), [x]);
      g.evaluate([d]);
      g.close();
    };
    run();
    const before = engine().bytes;
    const mark = engine().mark();
    for (let k = 0; k < 20; k++) run();
    expect(engine().bytes).toBe(before);
    expect(engine().mark()).toBe(mark);
  });
});

describe("instructions of two operations", () => {
  test("give the bits of the two one by one, for any raggedness", () => {
    const next = random(77);
    const lengths = Array.from({ length: 90 }, (_, i) => (i % 11 === 0 ? 700 : Math.floor(9 * next())));
    const total = lengths.reduce((a, b) => a + b, 0);
    const draw = () => Float64Array.from({ length: total }, () => 4 * next() - 2);
    const [x, y, z] = [draw(), draw(), draw()];
    const batch = Batch.from({ lengths, fields: {} });
    const pairs: ((a: Vec, b: Vec, c: Vec) => [inner: Vec, outer: Vec])[] = [
      (a, b) => [a.sub(b), a.sub(b).exp()],
      (a, b, c) => [a.mul(b), a.mul(b).mul(c)],
      (a, b, c) => [a.mul(b), c.mul(a.mul(b))],
      (_, b, c) => [b.mul(c), b.mul(c).sumOver(batch.trajectory)],
      (a, _, c) => [a.mul(c), a.mul(c).sumOver(ALL)],
    ];
    // Asking for the inner one too keeps it from being taken into the outer one. A graph each, so that none is shared.
    const evaluate = (pair: (typeof pairs)[number], apart: boolean): Float64Array => {
      const graph = new Graph();
      const [a, b, c] = [x, y, z].map((data) => graph.constant(batch.token, data));
      const [inner, outer] = pair(a, b, c);
      const values = graph.evaluate(apart ? [outer, inner] : [outer])[0];
      graph.close();
      return values;
    };
    pairs.forEach((pair, k) => {
      expect(evaluate(pair, false), `pair ${k}`).toEqual(evaluate(pair, true));
    });
    expect(evaluate(pairs[1], false)[0]).toBe(x[0] * y[0] * z[0]);
    const first = Array.from({ length: lengths[0] }, (_, t) => y[t] * z[t]);
    expect(evaluate(pairs[3], false)[0]).toBeCloseTo(
      first.reduce((p, q) => p + q, 0),
      10,
    );
  });
});
