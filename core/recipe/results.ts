/**
 * @file From the vectors of a context to numbers: outputs, metrics, and the check that all are finite.
 */
import type { Batch } from "../batch.ts";
import { CohortError } from "../errors.ts";
import type { Context, Output } from "../rl/context.ts";
import type { Vec } from "../rl/vec.ts";

export function vectorsOf(c: Context): Vec[] {
  return [...c.outputs.values()].flatMap((o) => (isOutput(o) ? [o.vec, ...(o.present ? [o.present] : [])] : []));
}

const isOutput = (o: unknown): o is Output => typeof o === "object" && o !== null && "vec" in o;

/** A Vec as its numbers with their level; anything else as it is. */
export function settled(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("graph" in value)) return value;
  const vec = value as Vec;
  return { level: vec.level, data: vec.values() };
}

export function collect(c: Context, outputs: Record<string, unknown>, metrics: Record<string, number>): void {
  const vectors = [...c.metrics.values(), ...vectorsOf(c)];
  if (vectors.length > 0) c.graph.compute(vectors);
  for (const [name, vec] of c.metrics) metrics[name] = vec.value();
  for (const [name, o] of c.outputs) {
    if (isOutput(o)) finite(`collect: output '${name}'`, o.vec);
    outputs[name] = isOutput(o)
      ? { level: o.vec.level, data: o.vec.values(), present: o.present?.values(), flags: o.flags }
      : finiteLists(`output '${name}'`, o);
  }
}

/**
 * Lists and records of a recipe's own (outputs, state), as they are.
 *
 * @throws CohortError "not-finite" naming the first number among them that is not finite
 */
export function finiteLists<T>(what: string, value: T): T {
  if (value === undefined || (typeof value === "number" && value - value !== 0)) {
    throw new CohortError(
      "not-finite",
      `finiteLists: ${what} is ${value}`,
      "check the fields of the batch that it is made of",
    );
  }
  if (Array.isArray(value)) {
    for (let k = 0; k < value.length; k++) finiteLists(`${what}, ${k}`, value[k]);
  } else if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    for (const [key, inner] of Object.entries(value)) if (inner !== undefined) finiteLists(`${what}, ${key}`, inner);
  }
  return value;
}

/**
 * What a slot returns.
 *
 * @throws CohortError "bad-batch" in place of the TypeError of a slot that met a list of another shape than it reads
 */
export function readable<T>(where: string, c: Context, slot: () => T): T {
  try {
    return slot();
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    const names = [...c.reads].filter((name) => c.batch.raw.has(name)).join(", ");
    throw new CohortError(
      "bad-batch",
      `${where} cannot read what it was given as ${names || "its fields"}: ${cause.message}`,
      "give lists of the shape that the recipe's cases have",
      { cause },
    );
  }
}

/** @throws CohortError "not-finite" naming the place of the first number of a computed vector that is not finite */
export function finite(what: string, x: Vec, batch?: Batch): void {
  const at = x.notFinite();
  if (at < 0) return;
  let where = `element ${at}`;
  if (batch) {
    const i = batch.trajectoryOf(at);
    where = `trajectory ${i}, token ${at - batch.offsets[i]}`;
  }
  throw new CohortError(
    "not-finite",
    `${what} is ${x.values()[at]} at ${where}`,
    "check the rewards and log-probabilities of that place for extreme values",
  );
}
