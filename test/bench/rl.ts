/**
 * @file The policy-optimisation core against the same computation in JavaScript, both sides in the same rounds.
 *
 * GRPO from rewards to ∂loss/∂logp: the group's z-score, ratio, clip, token mean inside a trajectory, mean over
 * trajectories. The peers are written as well as we can: one fused loop over typed arrays with `Math.exp`, into an array
 * that they keep; and trajectories as objects with a list of token objects, as data come from JSON.
 */
import { Batch } from "../../core/batch.ts";
import { loadRecipe, objective, prepare, resolveParams } from "../../core/recipe.ts";
import { Context } from "../../core/rl/context.ts";
import { philox } from "../../core/rng.ts";
import type { Figure, Section } from "./harness.ts";

const EPS_STD = 1e-4;
const [LO, HI] = [0.8, 1.2];

interface Rollouts {
  lengths: Int32Array;
  offsets: Int32Array;
  group: Int32Array;
  groups: number;
  reward: Float64Array;
  mask: Float64Array;
  logp: Float64Array;
  old: Float64Array;
}

/** Trajectories of 20 … 180 tokens (mean 100), eight a group, a tenth of the tokens masked, ratios around 1. */
function rollouts(tokens: number): Rollouts {
  const n = tokens / 100;
  const word = (i: number, stream: number): number => philox(i, stream, 0, 0, 1, 2)[0] / 4294967296;
  // In pairs of 100 ± k, so that the total is as asked.
  const lengths = Int32Array.from({ length: n }, (_, i) => 100 + (i & 1 ? -1 : 1) * Math.floor(80 * word(i >> 1, 0)));
  const offsets = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) offsets[i + 1] = offsets[i] + lengths[i];
  const total = offsets[n];
  const old = Float64Array.from({ length: total }, (_, t) => -0.05 - 2 * word(t, 1));
  return {
    lengths,
    offsets,
    group: Int32Array.from({ length: n }, (_, i) => i >> 3),
    groups: (n + 7) >> 3,
    reward: Float64Array.from({ length: n }, (_, i) => (word(i, 2) < 0.5 ? 0 : 1)),
    mask: Float64Array.from({ length: total }, (_, t) => (word(t, 3) < 0.9 ? 1 : 0)),
    logp: old.map((x, t) => Math.min(-1e-3, x + 0.6 * (word(t, 4) - 0.5))),
    old,
  };
}

function batchOf(r: Rollouts): Batch {
  return Batch.from({
    lengths: r.lengths,
    group: r.group,
    fields: { reward: r.reward, mask: r.mask, logp: r.logp, logp_old: r.old },
  });
}

/** Group z-scores over typed arrays, two passes over the rewards (groups are contiguous). */
function advantagesTyped(group: Int32Array, groups: number, reward: Float64Array, out: Float64Array): void {
  const n = reward.length;
  const count = new Float64Array(groups);
  const mean = new Float64Array(groups);
  const spread = new Float64Array(groups);
  for (let i = 0; i < n; i++) {
    count[group[i]]++;
    mean[group[i]] += reward[i];
  }
  for (let g = 0; g < groups; g++) mean[g] /= count[g];
  for (let i = 0; i < n; i++) {
    const d = reward[i] - mean[group[i]];
    spread[group[i]] += d * d;
  }
  for (let g = 0; g < groups; g++) spread[g] = count[g] > 1 ? Math.sqrt(spread[g] / (count[g] - 1)) : 0;
  for (let i = 0; i < n; i++) out[i] = (reward[i] - mean[group[i]]) / (spread[group[i]] + EPS_STD);
}

/** The fused loop: loss, and dlogp into `out`. */
function grpoTyped(r: Rollouts, advantage: Float64Array, out: Float64Array): number {
  const { offsets, reward, mask, logp, old } = r;
  advantagesTyped(r.group, r.groups, reward, advantage);
  const n = reward.length;
  let loss = 0;
  for (let i = 0; i < n; i++) {
    const [from, to] = [offsets[i], offsets[i + 1]];
    const A = advantage[i];
    let trained = 0;
    for (let t = from; t < to; t++) trained += mask[t];
    const scale = 1 / (n * Math.max(1, trained));
    let sum = 0;
    for (let t = from; t < to; t++) {
      const m = mask[t];
      const ratio = Math.exp(logp[t] - old[t]);
      const free = ratio * A;
      const clipped = (ratio < LO ? LO : ratio > HI ? HI : ratio) * A;
      const rules = free <= clipped;
      sum -= m * (rules ? free : clipped);
      out[t] = rules ? -m * free * scale : 0;
    }
    loss += sum * scale;
  }
  return loss;
}

interface TokenObject {
  logp: number;
  old: number;
  mask: number;
  dlogp: number;
}
interface TrajectoryObject {
  group: number;
  reward: number;
  advantage: number;
  tokens: TokenObject[];
}

function objectsOf(r: Rollouts): TrajectoryObject[] {
  return Array.from(r.lengths, (length, i) => ({
    group: r.group[i],
    reward: r.reward[i],
    advantage: 0,
    tokens: Array.from({ length }, (_, t) => {
      const at = r.offsets[i] + t;
      return { logp: r.logp[at], old: r.old[at], mask: r.mask[at], dlogp: 0 };
    }),
  }));
}

/** The same over objects, in the style of the array methods. */
function grpoObjects(trajectories: TrajectoryObject[]): number {
  const groups = new Map<number, TrajectoryObject[]>();
  for (const x of trajectories) {
    const list = groups.get(x.group) ?? [];
    groups.set(x.group, list);
    list.push(x);
  }
  for (const list of groups.values()) {
    const mean = list.reduce((s, x) => s + x.reward, 0) / list.length;
    const square = list.reduce((s, x) => s + (x.reward - mean) ** 2, 0);
    const std = list.length > 1 ? Math.sqrt(square / (list.length - 1)) : 0;
    for (const x of list) x.advantage = (x.reward - mean) / (std + EPS_STD);
  }
  return trajectories.reduce((loss, { advantage: A, tokens }) => {
    const trained = tokens.reduce((s, t) => s + t.mask, 0);
    const scale = 1 / (trajectories.length * Math.max(1, trained));
    const sum = tokens.reduce((s, t) => {
      const ratio = Math.exp(t.logp - t.old);
      const clipped = Math.min(Math.max(ratio, LO), HI) * A;
      t.dlogp = ratio * A <= clipped ? -t.mask * ratio * A * scale : 0;
      return s - t.mask * Math.min(ratio * A, clipped);
    }, 0);
    return loss + sum * scale;
  }, 0);
}

/** Milliseconds of one call. */
const ms = (work: () => unknown): Promise<number> => {
  const t0 = performance.now();
  work();
  return Promise.resolve(performance.now() - t0);
};

function agree(what: string, a: number, b: number): void {
  if (Math.abs(a - b) > 1e-9 * Math.max(1, Math.abs(b))) throw new Error(`bench: ${what}: ${a} against ${b}`);
}

const sizes = [1e5, 1e6, 4e6];
const stepName = (tokens: number) => `GRPO step, ${tokens.toExponential(0)} tokens, advantage + loss + derivative`;
const metricsName = (tokens: number) => `GRPO step, ${tokens.toExponential(0)} tokens, with all metrics`;
const advantagesName = "GRPO step, 1e+6 tokens, advantages alone";
const batchName = "GRPO step, 1e+6 tokens, building and checking the batch";
const scoresName = "group z-scores, 1e+6 trajectories";
const momentsName = "group mean, deviation, least and largest, 1e+6";

export const policyOptimisation: Section = {
  id: "rl",
  what: "the policy-optimisation core against the same computation in JavaScript",
  names: () => [
    ...sizes.flatMap((tokens) => [
      ...[stepName(tokens), metricsName(tokens)],
      ...(tokens === 1e6 ? [advantagesName, batchName] : []),
    ]),
    scoresName,
    momentsName,
  ],
  run: (figure, _, wanted) => run(figure, wanted),
};

async function run(figure: Figure, wanted: (name: string) => boolean): Promise<void> {
  const grpo = await loadRecipe("grpo");
  const params = resolveParams(grpo);
  for (const tokens of sizes) {
    const names = [stepName(tokens), metricsName(tokens), ...(tokens === 1e6 ? [advantagesName, batchName] : [])];
    if (!names.some(wanted)) continue;
    const r = rollouts(tokens);
    const batch = batchOf(r);
    const objects = tokens === 1e6 ? objectsOf(r) : undefined;
    const [advantage, out] = [new Float64Array(r.reward.length), new Float64Array(tokens)];
    const into = { logp: new Float64Array(tokens) };
    const step = (metrics: boolean) => {
      const { batch: ready } = prepare(grpo, params, batch, undefined, { metrics });
      return objective(grpo, params, ready, { logp: r.logp }, { metrics, into });
    };
    const { loss, dlogp } = step(true);
    agree("loss", loss, grpoTyped(r, advantage, out));
    for (let t = 0; t < tokens; t += 997) agree(`dlogp ${t}`, dlogp[t] * tokens, out[t] * tokens);
    if (objects) agree("loss of objects", grpoObjects(objects), loss);
    const typed = () => ms(() => grpoTyped(r, advantage, out));
    await figure(stepName(tokens), "ms", () => ms(() => step(false)), {
      "typed arrays": typed,
      ...(objects && { objects: () => ms(() => grpoObjects(objects)) }),
    });
    await figure(metricsName(tokens), "ms", () => ms(() => step(true)), { "typed arrays, none": typed });
    if (tokens !== 1e6) continue;
    await figure(advantagesName, "ms", () => ms(() => prepare(grpo, params, batch, undefined, { metrics: false })));
    await figure(batchName, "ms", () => ms(() => batchOf(r)));
  }

  if (!wanted(scoresName) && !wanted(momentsName)) return;
  const n = 1e6;
  const group = Int32Array.from({ length: n }, (_, i) => i >> 3);
  const reward = Float64Array.from({ length: n }, (_, i) => philox(i, 7, 0, 0, 1, 2)[0] / 4294967296);
  const batch = Batch.from({ lengths: new Int32Array(n), group, fields: { reward } });
  const score = new Float64Array(n);
  await figure(scoresName, "ms", () => ms(() => prepare(grpo, params, batch, undefined, { metrics: false })), {
    "typed arrays": () => ms(() => advantagesTyped(group, n / 8, reward, score)),
  });
  await figure(momentsName, "ms", () =>
    ms(() => {
      const c = new Context(batch);
      const { reward: x, group: over } = c;
      c.graph.evaluate([x.meanOver(over), x.stdOver(over, { ddof: 1 }), x.minOver(over), x.maxOver(over)]);
      c.close();
    }),
  );
}
