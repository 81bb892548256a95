/**
 * @file A linear head of one output on the final hidden state: the score of a reward model. It is the vocabulary's head
 * with V = 1, so the same kernel serves, and its gradient accumulates position by position as all others do.
 */
import type { Device, DeviceBuffer } from "../device.ts";
import type { Activation } from "../graph.ts";
import type { Parameter } from "./parameters.ts";

/** Floats from one number to the next: rows of the matmul kernel begin at multiples of four. */
export const HEAD_STRIDE = 4;
/** One number decides a whole sequence, and costs next to nothing: always full precision. */
const PRECISION = 24;

/**
 * S numbers w · h at the given rows, HEAD_STRIDE floats apart; the caller frees them.
 *
 * @param head [1, C]; its gradient, where it has one, accumulates
 * @param rows [S] positions of the pass
 * @param derivative [S] of the loss by each number: sets `hidden.grad`; null: forward only
 */
export function scalarHead(
  device: Device,
  head: Parameter,
  hidden: Activation,
  rows: Uint32Array,
  derivative: Float32Array | null,
): DeviceBuffer {
  const S = rows.length;
  const C = hidden.cols;
  const ld = HEAD_STRIDE;
  const own: DeviceBuffer[] = [];
  const alloc = (size: number, label: string) => {
    own.push(device.alloc(Math.max(1, size), label));
    return own[own.length - 1];
  };
  const values = device.alloc(Math.max(1, S * ld), "head values");
  const none = alloc(1, "no bias");
  const index = alloc(S, "head rows");
  device.write(index, rows);
  const picked = alloc(S * C, "hidden of the head");
  device.run("gather_rows", picked, hidden.buffer, index, S, C, 0);
  device.run("matmul", values, picked, head.value, none, S, 1, C, C, 1, 1, C, ld, 0, PRECISION);
  if (derivative) {
    const spread = new Float32Array(S * ld);
    derivative.forEach((d, k) => {
      spread[ld * k] = d;
    });
    const dvalues = alloc(S * ld, "head derivative");
    device.write(dvalues, spread);
    if (head.grad) {
      device.run("matmul", head.grad, dvalues, picked, none, 1, C, S, 1, ld, C, 1, C, 1, PRECISION);
    }
    // hidden of the head is not needed any more: its place takes the gradient.
    device.run("matmul", picked, dvalues, head.value, none, S, C, 1, ld, 1, C, 1, C, 0, PRECISION);
    hidden.grad = device.alloc(hidden.rows * C, "activation gradient");
    device.run("fill", hidden.grad, hidden.rows * C, 0);
    device.run("scatter_rows", hidden.grad, picked, index, S, C, 0);
  }
  for (const buffer of own) device.free(buffer);
  return values;
}
