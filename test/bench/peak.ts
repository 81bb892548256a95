/**
 * @file The most that 128-bit SIMD gives on this machine and engine: loops of multiply-adds that touch registers alone,
 * encoded by hand so that no compiler moves anything. Twelve chains hide the latency and fourteen fill all registers that V8
 * gives out; which of the two is the faster depends on the processor (Zen 3: fourteen by 7 to 16 %, without relaxed madd).
 */

const CHAINS = [12, 14];
/** Links of a chain in a turn, so that the loop itself is hidden. */
const LINKS = 2;
/** Length of a measurement, ms, unless told: about what a product of 512³ takes. */
const WINDOW = 6;
/** Measurements of a loop: so many, within so many ms. */
const TRIES = 8;
const LONGEST = 200;

/** (turns: i32, c: f32) → f32: x ← x · c + c. */
function moduleBytes(chains: number, relaxed: boolean): Uint8Array<ArrayBuffer> {
  const section = (id: number, bytes: number[]) => [id, ...leb(bytes.length), ...bytes];
  const get = (local: number) => [0x20, ...leb(local)];
  const set = (local: number) => [0x21, ...leb(local)];
  const simd = (code: number) => [0xfd, ...leb(code)];
  const [splat, add, mul, madd, lane] = [0x13, 0xe4, 0xe6, 0x105, 0x1f].map(simd);
  // Locals: 0 turns, 1 c, then v128: 2 c, 3 … the chains.
  const chain = (i: number) => 3 + i;
  const body: number[] = [0x01, ...leb(1 + chains), 0x7b];
  body.push(...get(1), ...splat, ...set(2));
  for (let i = 0; i < chains; i++) body.push(0x43, 0, 0, 0x80 - 8 * i, 0x3f, ...splat, ...set(chain(i)));
  body.push(0x03, 0x40);
  for (let link = 0; link < LINKS; link++) {
    for (let i = 0; i < chains; i++) {
      if (relaxed) body.push(...get(chain(i)), ...get(2), ...get(2), ...madd, ...set(chain(i)));
      else body.push(...get(chain(i)), ...get(2), ...mul, ...get(2), ...add, ...set(chain(i)));
    }
  }
  body.push(...get(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b);
  body.push(...get(chain(0)));
  for (let i = 1; i < chains; i++) body.push(...get(chain(i)), ...add);
  body.push(...lane, 0, 0x0b);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7d, 1, 0x7d]),
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

/**
 * GFLOP/s of the faster loop, best of some windows of `ms`: as long as what it is compared with, so that neither of the two
 * slips between its neighbours' turns. null where the engine has no relaxed SIMD.
 */
export async function peak(relaxed: boolean): Promise<((ms?: number) => Promise<number>) | null> {
  const loops: { run: (turns: number) => number; operations: number }[] = [];
  for (const chains of CHAINS) {
    const bytes = moduleBytes(chains, relaxed);
    if (!WebAssembly.validate(bytes)) return null;
    const { instance } = await WebAssembly.instantiate(bytes);
    const loop = instance.exports.f as (turns: number, c: number) => number;
    const run = (turns: number) => {
      const t0 = performance.now();
      loop(turns, 0.5);
      return performance.now() - t0;
    };
    // Until the optimising compiler has taken over.
    for (let i = 0; i < 400; i++) run(2000);
    loops.push({ run, operations: chains * LINKS * 4 * 2 });
  }
  return async (ms = WINDOW) => {
    let most = 0;
    for (const { run, operations } of loops) {
      const turns = Math.ceil((20_000 * ms) / run(20_000));
      const tries = Math.max(1, Math.min(TRIES, Math.floor(LONGEST / ms)));
      for (let i = 0; i < tries; i++) most = Math.max(most, (turns * operations) / run(turns) / 1e6);
    }
    return most;
  };
}
