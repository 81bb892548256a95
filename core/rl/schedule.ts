/**
 * @file From a graph to passes over memory.
 *
 * Elementwise operations, spreads and reductions that walk the same level and do not wait for each other's results
 * become one program of the block interpreter; a value that only that program reads lives in a register of one block.
 * What needs a finished reduction, a recurrence or a sort starts a later pass. The plan is a function of the graph
 * alone.
 */
import { CohortError } from "../errors.ts";
import * as code from "../wasm/rl/opcodes.ts";
import type { Graph } from "./graph.ts";
import { ALL, type Edge, type Level } from "./level.ts";
import { elementwise } from "./ops.ts";
import type { Vec } from "./vec.ts";

/** The vector whose values this one has. */
const real = (v: Vec): Vec => (v.op === "stop" ? real(v.inputs[0]) : v);
const ready = (v: Vec): boolean => v.address !== 0 || v.op === "full";
const isElementwise = (v: Vec): boolean => v.op in elementwise;
const isReduction = (v: Vec): boolean => v.op === "sum" || v.op === "maxOver" || v.op === "minOver";
/** Runs inside a block program (else on whole vectors). */
const isBlock = (v: Vec): boolean => isElementwise(v) || v.op === "spread" || isReduction(v);
/** The level that the node's loop walks. */
const loop = (v: Vec): Level => (isReduction(v) ? (v.attributes.edge as Edge).fine : v.level);
/** Whether a block program can hand x to v without finishing a pass between. */
const sameSweep = (x: Vec, v: Vec): boolean =>
  isBlock(x) && !isReduction(x) && isBlock(v) && v.op !== "spread" && loop(x) === loop(v);

/** Computes the given vectors; their values then lie at their `address`. */
export function schedule(graph: Graph, roots: readonly Vec[]): void {
  const wanted = new Set(roots.map(real));
  const nodes = collect(wanted);
  for (const node of nodes) if (node.op === "leaf") upload(graph, node);
  for (const root of wanted) if (root.op === "leaf" && root.address === 0) upload(graph, root);
  const work = nodes.filter((v) => !ready(v));
  const time = plan(work);

  const passes = new Map<number, Map<Level, Vec[]>>();
  for (const v of work) {
    const at = time.get(v) as number;
    const byLevel = passes.get(at) ?? new Map<Level, Vec[]>();
    passes.set(at, byLevel);
    const sweep = byLevel.get(loop(v)) ?? [];
    byLevel.set(loop(v), sweep);
    sweep.push(v);
  }
  const readers = new Map<Vec, Vec[]>();
  for (const v of work) for (const x of v.inputs) readers.set(real(x), [...(readers.get(real(x)) ?? []), v]);
  for (const at of [...passes.keys()].sort((a, b) => a - b)) {
    for (const [level, sweep] of passes.get(at) as Map<Level, Vec[]>) {
      const blocks = sweep.filter(isBlock);
      const here = new Set(blocks);
      const stored = (v: Vec): boolean =>
        wanted.has(v) || (readers.get(v) ?? []).some((r) => !(time.get(r) === at && sameSweep(v, r)));
      const only = (x: Vec, v: Vec): boolean =>
        here.has(x) && !stored(x) && readers.get(x)?.length === 1 && readers.get(x)?.[0] === v;
      if (blocks.length > 0) runBlocks(graph, level, fuse(blocks, only), stored);
      for (const v of sweep) if (!isBlock(v)) runWhole(graph, v);
    }
  }
}

/** Every node that has to be there for the roots, inputs before users. */
function collect(roots: Iterable<Vec>): Vec[] {
  const seen = new Set<Vec>();
  const stack = [...roots];
  for (let v = stack.pop(); v; v = stack.pop()) {
    if (seen.has(v) || ready(v)) continue;
    seen.add(v);
    for (const x of v.inputs) stack.push(real(x));
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * The pass of each node. Sweeps over the finest level cost the most, so they are as few as the dependences allow and each
 * node is in the latest it can be: what only the end needs is computed in one sweep with it, not stored and read again.
 * What walks coarser levels between two such sweeps is ordered likewise.
 */
function plan(work: readonly Vec[]): Map<Vec, number> {
  const time = new Map<Vec, number>();
  let passes = 0;
  const order = (nodes: readonly Vec[]): void => {
    if (nodes.length === 0) return;
    const finest = nodes.map(loop).reduce((a, b) => (b.size > a.size ? b : a));
    const fine = (v: Vec): boolean => loop(v) === finest;
    // How many sweeps over the finest level follow: S_k counts from the end, and what is in C_k runs before S_k.
    const after = new Map<Vec, number>(nodes.map((v) => [v, fine(v) ? 0 : -1]));
    for (let i = nodes.length - 1; i >= 0; i--) {
      const v = nodes[i];
      const at = after.get(v) as number;
      for (const input of v.inputs) {
        const x = real(input);
        const known = after.get(x);
        if (known === undefined) continue;
        const wait = fine(x) && !(fine(v) && sameSweep(x, v)) ? 1 : 0;
        after.set(x, Math.max(known, at + wait));
      }
    }
    for (let k = Math.max(...after.values()); k >= -1; k--) {
      order(nodes.filter((v) => !fine(v) && after.get(v) === k));
      for (const v of nodes) if (fine(v) && after.get(v) === k) time.set(v, passes);
      passes++;
    }
  };
  order(work);
  return time;
}

function upload(graph: Graph, v: Vec): void {
  if (v.address !== 0) return;
  const data = v.data as ArrayLike<number>;
  v.address = graph.engine.allocate(data.length);
  graph.engine.f64(v.address, data.length).set(data);
}

function edgeAddresses(graph: Graph, edge: Edge): { offsets: number; index: number } {
  let at = graph.edges.get(edge);
  if (!at) {
    at = { offsets: 0, index: 0 };
    const data = edge.offsets ?? edge.index;
    const address = graph.engine.allocate((data.length + 1) >> 1);
    graph.engine.i32(address, data.length).set(data);
    if (edge.offsets) at.offsets = address;
    else at.index = address;
    graph.edges.set(edge, at);
  }
  return at;
}

const REDUCTIONS = {
  sum: [code.SUM_RUNS, code.SUM_INDEX, 0],
  maxOver: [code.MAX_RUNS, code.MAX_INDEX, -Infinity],
  minOver: [code.MIN_RUNS, code.MIN_INDEX, Infinity],
} as const;

/** A node with its operands: those of the operation before it, where the two are one instruction. */
interface Step {
  v: Vec;
  code: number;
  inputs: readonly Vec[];
}

const FUSED = {
  exp: { inner: code.SUB, code: code.EXP_SUB },
  mul: { inner: code.MUL, code: code.MUL_MUL },
  sum: { inner: code.MUL, code: code.SUM_PRODUCTS },
} as const;

/** Pairs of operations become one instruction where nobody else reads what is between them: one walk less, the same bits. */
function fuse(nodes: readonly Vec[], only: (x: Vec, v: Vec) => boolean): Step[] {
  const steps = new Map<Vec, Step>();
  for (const v of nodes) {
    const inputs = v.inputs.map(real);
    const step: Step = { v, code: isElementwise(v) ? elementwise[v.op as keyof typeof elementwise].code : 0, inputs };
    const fused = FUSED[v.op as keyof typeof FUSED];
    const inner = fused && inputs.find((x) => steps.get(x)?.code === fused.inner && only(x, v));
    if (inner && (v.op !== "sum" || v.attributes.edge?.offsets)) {
      step.code = fused.code;
      step.inputs = [...(steps.get(inner) as Step).inputs, ...inputs.filter((x) => x !== inner)];
      steps.delete(inner);
    }
    steps.set(v, step);
  }
  return [...steps.values()];
}

/** One program over one level. */
function runBlocks(graph: Graph, level: Level, nodes: readonly Step[], stored: (v: Vec) => boolean): void {
  const { engine } = graph;
  const { kernels } = engine;
  const program = new Int32Array(nodes.length * code.WORDS);
  const lastUse = new Map<Vec, number>();
  nodes.forEach(({ inputs }, k) => {
    for (const x of inputs) lastUse.set(x, k);
  });
  const free = [...graph.registers];
  const take = (): number => {
    const register = free.pop() ?? engine.allocate(code.BLOCK);
    if (!graph.registers.includes(register)) graph.registers.push(register);
    return register;
  };
  const place = new Map<Vec, [address: number, step: number]>();
  /** Constants and batch-level scalars: a register filled once, before the sweep. */
  const constants = new Map<string, number>();
  const constant = (key: string, value: number): [number, number] => {
    let register = constants.get(key);
    if (register === undefined) {
      register = take();
      kernels.fill(register, Math.min(code.BLOCK, level.size), value);
      constants.set(key, register);
    }
    return [register, 0];
  };
  const operandOf = (x: Vec): [number, number] => {
    if (x.op === "full") return constant(`${x.attributes.value}`, x.attributes.value as number);
    const known = place.get(x);
    if (known) return known;
    return [x.address, 8];
  };

  // Constants first: a register that is reused must not have been filled before the sweep.
  for (const { v, inputs } of nodes) {
    for (const x of inputs) if (x.op === "full") operandOf(x);
    if (v.op === "spread" && v.inputs[0].level === ALL && level !== ALL) {
      const x = real(v.inputs[0]);
      place.set(v, constant(`#${x.id}`, engine.f64(x.address, 1)[0]));
    }
  }
  const settle: Vec[] = [];
  let count = 0;
  nodes.forEach(({ v, code: operation, inputs }, k) => {
    const base = count * code.WORDS;
    const put = (slot: number, [address, step]: [number, number]): void => {
      program[base + 1 + 2 * slot] = address;
      program[base + 2 + 2 * slot] = step;
    };
    const release = (): void => {
      for (const input of new Set(inputs)) {
        const at = place.get(input);
        if (at && at[1] === 0 && lastUse.get(input) === k && input.op !== "full" && !isConstant(at[0]))
          free.push(at[0]);
      }
    };
    const isConstant = (register: number): boolean => [...constants.values()].includes(register);
    if (isReduction(v)) {
      const edge = v.attributes.edge as Edge;
      const [runs, index, start] = REDUCTIONS[v.op as keyof typeof REDUCTIONS];
      const at = edgeAddresses(graph, edge);
      v.address = engine.allocate(v.level.size);
      kernels.fill(v.address, v.level.size, edge.offsets ? 0 : start);
      if (!edge.offsets && v.op !== "sum") settle.push(v);
      program[base] = operation || (edge.offsets ? runs : index);
      put(0, [v.address, 0]);
      inputs.forEach((x, slot) => {
        put(slot + 1, operandOf(x));
      });
      program[base + 11] = at.offsets;
      program[base + 12] = at.index;
      program[base + 13] = edge.coarse.size;
      program[base + 14] = v.op === "sum" && edge.offsets ? engine.allocate(4) : 0;
      release();
      count++;
      return;
    }
    if (v.op === "spread" && place.has(v)) {
      if (!stored(v)) return;
      program[base] = code.COPY;
      put(1, place.get(v) as [number, number]);
    } else if (v.op === "spread") {
      const edge = v.attributes.edge as Edge;
      const at = edgeAddresses(graph, edge);
      program[base] = edge.offsets ? code.SPREAD_RUNS : code.SPREAD_INDEX;
      put(1, [real(v.inputs[0]).address, 0]);
      program[base + 11] = at.offsets;
      program[base + 12] = at.index;
      program[base + 13] = edge.coarse.size;
    } else {
      program[base] = operation;
      inputs.forEach((x, slot) => {
        put(slot + 1, operandOf(x));
      });
      release();
    }
    if (stored(v)) {
      v.address = engine.allocate(level.size);
      place.set(v, [v.address, 8]);
    } else place.set(v, [take(), 0]);
    put(0, place.get(v) as [number, number]);
    count++;
  });
  const address = engine.allocate((program.length + 1) >> 1);
  engine.i32(address, program.length).set(program);
  kernels.run(address, count, level.size);
  for (const v of settle) kernels.settle(v.address, v.level.size);
}

function runWhole(graph: Graph, v: Vec): void {
  const { engine } = graph;
  const { kernels } = engine;
  const x = materialise(graph, real(v.inputs[0]));
  const second = v.inputs.length > 1 ? materialise(graph, real(v.inputs[1])) : 0;
  v.address = engine.allocate(v.level.size);
  if (v.op === "gather") {
    kernels.gather(v.address, x, second, v.level.size);
    return;
  }
  if (v.op === "scatter") {
    kernels.scatterAdd(v.address, v.level.size, x, second, v.inputs[0].level.size);
    return;
  }
  const edge = v.attributes.edge as Edge;
  const { offsets } = edgeAddresses(graph, edge);
  const segments = edge.coarse.size;
  const by = v.attributes.by as number;
  if (v.op === "recur") kernels.recur(v.address, x, second, offsets, segments, by);
  else if (v.op === "shift") kernels.shift(v.address, x, offsets, segments, by);
  else if (v.op === "running") kernels.running(v.address, x, offsets, segments, by);
  else if (v.op === "order") {
    const mark = engine.mark();
    kernels.order(v.address, x, offsets, segments, engine.allocate(v.level.size));
    engine.release(mark);
  } else {
    throw new CohortError("bad-batch", `schedule: '${v.op}' has no kernel`, "this is a fault of core/rl: report it");
  }
}

/** The values of x in memory, also where x is one number for all. */
function materialise(graph: Graph, x: Vec): number {
  if (x.op !== "full") return x.address;
  const address = graph.engine.allocate(x.level.size);
  graph.engine.kernels.fill(address, x.level.size, x.attributes.value as number);
  return address;
}
