/**
 * @file The most that 128-bit SIMD gives on this machine and engine: a loop of multiply-adds that touches registers alone,
 * encoded by hand so that no compiler moves anything. Twelve chains hide the latency; two links of each a turn hide the loop.
 */

/** f32 operations of one turn: 24 multiply-adds of four lanes. */
const OPERATIONS = 24 * 4 * 2;
const CHAINS = 12;

/** (turns: i32, m: f32, c: f32) → f32: x ← x · m + c. */
function moduleBytes(relaxed: boolean): Uint8Array<ArrayBuffer> {
  const section = (id: number, bytes: number[]) => [id, ...leb(bytes.length), ...bytes];
  const get = (local: number) => [0x20, ...leb(local)];
  const set = (local: number) => [0x21, ...leb(local)];
  const simd = (code: number) => [0xfd, ...leb(code)];
  const [splat, add, mul, madd, lane] = [0x13, 0xe4, 0xe6, 0x105, 0x1f].map(simd);
  // Locals: 0 turns, 1 m, 2 c, then v128: 3 m, 4 c, 5 … the chains.
  const chain = (i: number) => 5 + i;
  const body: number[] = [0x01, ...leb(2 + CHAINS), 0x7b];
  body.push(...get(1), ...splat, ...set(3), ...get(2), ...splat, ...set(4));
  for (let i = 0; i < CHAINS; i++) body.push(0x43, 0, 0, 0x80 - 8 * i, 0x3f, ...splat, ...set(chain(i)));
  body.push(0x03, 0x40);
  for (let link = 0; link < 2; link++) {
    for (let i = 0; i < CHAINS; i++) {
      if (relaxed) body.push(...get(chain(i)), ...get(3), ...get(4), ...madd, ...set(chain(i)));
      else body.push(...get(chain(i)), ...get(3), ...mul, ...get(4), ...add, ...set(chain(i)));
    }
  }
  body.push(...get(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b);
  body.push(...get(chain(0)));
  for (let i = 1; i < CHAINS; i++) body.push(...get(chain(i)), ...add);
  body.push(...lane, 0, 0x0b);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, 0x7f, 0x7d, 0x7d, 1, 0x7d]),
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}

function leb(value: number): number[] {
  const out: number[] = [];
  do {
    const more = value > 0x7f ? 0x80 : 0;
    out.push((value & 0x7f) | more);
    value >>>= 7;
  } while (value > 0);
  return out;
}

/** GFLOP/s of a call of some milliseconds; null where the engine has no relaxed SIMD. */
export async function peak(relaxed: boolean): Promise<(() => Promise<number>) | null> {
  const bytes = moduleBytes(relaxed);
  if (!WebAssembly.validate(bytes)) return null;
  const { instance } = await WebAssembly.instantiate(bytes);
  const loop = instance.exports.f as (turns: number, m: number, c: number) => number;
  const turns = 20_000;
  // Until the optimising compiler has taken over.
  for (let i = 0; i < 400; i++) loop(turns / 10, 0.999, 0.001);
  return async () => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 20; i++) {
      const t0 = performance.now();
      loop(turns, 0.999, 0.001);
      best = Math.min(best, performance.now() - t0);
    }
    return (turns * OPERATIONS) / best / 1e6;
  };
}
