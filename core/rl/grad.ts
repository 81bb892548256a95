/**
 * @file Reverse mode: the derivative of one number by any vectors, as vectors of the same graph.
 */
import { CohortError } from "../errors.ts";
import { ALL, type Edge } from "./level.ts";
import { type Elementwise, type ElementwiseName, elementwise } from "./ops.ts";
import type { Vec } from "./vec.ts";

/**
 * ∂loss/∂x for each x of `inputs` (0 where the loss does not depend on it). `loss` is over the whole batch. Parts behind
 * `stop()` count as constants.
 */
export function gradients(loss: Vec, inputs: readonly Vec[]): Vec[] {
  if (loss.level !== ALL) {
    throw new CohortError(
      "bad-batch",
      `gradients: the loss is a vector over '${loss.level.name}'`,
      "aggregate it over the batch first",
    );
  }
  const { graph } = loss;
  const sum = new Map<Vec, Vec>([[loss, graph.full(ALL, 1)]]);
  for (const v of below(loss)) {
    const g = sum.get(v);
    if (!g || v.inputs.length === 0) continue;
    adjoints(v, g).forEach((part, k) => {
      const x = v.inputs[k];
      if (!part || !x.differentiable) return;
      const before = sum.get(x);
      sum.set(x, before ? before.add(part) : part);
    });
  }
  return inputs.map((x) => sum.get(x) ?? graph.full(x.level, 0));
}

/** Differentiable nodes under the loss, users before inputs. */
function below(loss: Vec): Vec[] {
  const seen = new Set<Vec>();
  const stack = [loss];
  for (let v = stack.pop(); v; v = stack.pop()) {
    if (seen.has(v) || !v.differentiable) continue;
    seen.add(v);
    stack.push(...v.inputs);
  }
  return [...seen].sort((a, b) => b.id - a.id);
}

function adjoints(v: Vec, g: Vec): (Vec | undefined)[] {
  const [x, second] = v.inputs;
  const { edge, by } = v.attributes;
  switch (v.op) {
    case "spread":
      return [g.sumOver(x.level)];
    case "sum":
      return [g.to(x.level)];
    case "maxOver":
    case "minOver": {
      const attained = x.eq(v);
      return [attained.mul(g.div(attained.sumOver(v.level)))];
    }
    case "recur": {
      // The adjoint runs the other way, each decay standing one place on.
      const { coarse } = edge as Edge;
      const back = by === 1;
      const adjoint = g.recur(coarse, back ? "forward" : "backward", second.shift(coarse, back ? 1 : -1));
      return [adjoint, second.differentiable ? adjoint.mul(v.shift(coarse, back ? -1 : 1)) : undefined];
    }
    case "shift":
      return [g.shift((edge as Edge).coarse, -(by as number))];
    case "gather":
      return [g.scatterTo(x.level, second)];
    case "scatter":
      return [g.gather(second)];
    default:
      return (elementwise[v.op as ElementwiseName] as Elementwise).adjoint?.(g, v, ...v.inputs) ?? [];
  }
}
