import { defineRecipe, integer } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL, Level } from "../rl/level.ts";
import { type Lists, type Nested, nested, sameShape, unnest } from "../rl/nested.ts";
import type { Vec } from "../rl/vec.ts";

type Table = number[][];

/** Rows of width d as one vector, prefix first and then the suffixes of all members. */
interface Rows {
  vec: Vec;
  row: Level;
}

/** Σ_k softmax_k(q_i·k/√d) v_k over the keys that each query may see (pairs of rows, by query). */
function attend(c: Context, q: Rows, k: Rows, v: Rows, seen: readonly number[][], d: number): Vec {
  const offsets = Int32Array.from({ length: seen.length + 1 }, () => 0);
  seen.forEach((keys, i) => {
    offsets[i + 1] = offsets[i] + keys.length;
  });
  const pair = new Level("pair", offsets[seen.length]).link(q.row, { offsets });
  const entry = new Level("pair entry", pair.size * d).link(pair, {
    offsets: Int32Array.from({ length: pair.size + 1 }, (_, e) => e * d),
  });
  const [query, key] = [seen.flatMap((keys, i) => keys.map(() => i)), seen.flat()];
  const at = (row: readonly number[]) =>
    c.graph.constant(
      entry,
      Float64Array.from({ length: entry.size }, (_, e) => row[Math.floor(e / d)] * d + (e % d)),
    );
  const score = q.vec
    .gather(at(query))
    .mul(k.vec.gather(at(key)))
    .sumOver(pair)
    .div(Math.sqrt(d));
  const share = score.sub(score.logSumExpOver(q.row)).exp();
  return v.vec.gather(at(key)).mul(share).scatterTo(q.vec.level, at(query));
}

export default defineRecipe({
  id: "prefix-grouper",
  paper: { title: "Prefix Grouper: Efficient GRPO Training through Shared-Prefix Forward", arxiv: "2506.05433" },
  stage: ["rollout", "update"],
  describe: `Not a change of the loss but of the forward pass: the prompt that a group shares is computed once, suffixes attend to
its keys and to their own, never to one another's, and the gradient of the prefix collects all members' parts. Here the
attention and its derivatives on given tensors, without position encoding, as a reference for an engine.`,
  formula: "O_p = causal(Q_p, K_p, V_p); O_j[t] = softmax(Q_j[t]·[K_p; K_j,≤t]/√d)·[V_p; V_j,≤t]",
  params: { d: integer(3, "width of a head (told by the tensors)", { min: 1 }) },
  fields: {
    prefix_q: "raw",
    prefix_k: "raw",
    prefix_v: "raw",
    suffix_q: "raw",
    suffix_k: "raw",
    suffix_v: "raw",
    weight: "raw",
  },
  outputs: (c, params) => {
    sameShape(c, 2, "prefix_q", "prefix_k", "prefix_v");
    sameShape(c, 3, "suffix_q", "suffix_k", "suffix_v");
    const prefix = (name: string) => nested(c, name, c.raw<Table>(name), { depth: 2, differentiate: true });
    const suffix = (name: string) => nested(c, name, c.raw<Table[]>(name), { depth: 3 });
    const [pq, pk, pv] = [prefix("prefix_q"), prefix("prefix_k"), prefix("prefix_v")];
    const [sq, sk, sv] = [suffix("suffix_q"), suffix("suffix_k"), suffix("suffix_v")];
    const sizes = c.raw<Table[]>("suffix_q").map((member) => member.length);
    const [p, s] = [pq.levels[0].size, sq.levels[1].size];
    const d = c.raw<Table>("prefix_q")[0]?.length ?? params.d;
    const row = new Level("row", p + s);
    const element = new Level("element", (p + s) * d).link(row, {
      offsets: Int32Array.from({ length: p + s + 1 }, (_, r) => r * d),
    });
    const places = (x: Nested, from: number): Vec =>
      c.graph.constant(
        x.vec.level,
        Float64Array.from({ length: x.vec.level.size }, (_, e) => from + e),
      );
    const after = (x: Nested, from: number): Vec => x.vec.scatterTo(element, places(x, from));
    const both = (a: Nested, b: Nested): Rows => ({ vec: after(a, 0).add(after(b, p * d)), row });
    const seen = Array.from({ length: p }, (_, i) => Array.from({ length: i + 1 }, (_, k) => k));
    let first = p;
    for (const size of sizes) {
      for (let t = 0; t < size; t++) {
        const own = Array.from({ length: t + 1 }, (_, k) => first + k);
        seen.push([...Array.from({ length: p }, (_, k) => k), ...own]);
      }
      first += size;
    }
    const out = attend(c, both(pq, sq), both(pk, sk), both(pv, sv), seen, d);
    // The prefix's outputs enter once for every member.
    const weight = new Float64Array((p + s) * d);
    first = p;
    c.raw<Table[]>("weight").forEach((member, j) => {
      const flat = member.flat();
      if (flat.length !== (p + sizes[j]) * d)
        c.refuse(`prefix-grouper: 'weight' ${j} is short or long`, "one an output");
      flat.forEach((w, e) => {
        weight[e < p * d ? e : (first - p) * d + e] += w;
      });
      first += sizes[j];
    });
    const loss = out.mul(c.graph.constant(element, weight)).sumOver(ALL);
    const part = (x: Nested, from: number): Lists => unnest(x.levels, out.gather(places(x, from)));
    const [dq, dk, dv] = gradients(loss, [pq.vec, pk.vec, pv.vec]).map((g) => unnest(pq.levels, g));
    return {
      prefix_out: part(pq, 0),
      suffix_out: part(sq, p * d),
      loss: loss.value(),
      d_prefix_q: dq,
      d_prefix_k: dk,
      d_prefix_v: dv,
    };
  },
  trains: { refuse: "is a way to compute, not a loss", keys: ["sharePrompts"] },
});
