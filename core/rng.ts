/**
 * @file Counter-based randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011).
 *
 * A random number is a function of where it is used, never of call order or thread: the key is (seed, stream), the
 * counter is up to four coordinates such as (step, prompt, rollout, token).
 */

/** What a stream of random numbers is for; two purposes never share numbers under one seed. */
export const streams = {
  init: 1,
  task: 2,
  sample: 3,
  shuffle: 4,
  evaluate: 5,
  warmStart: 6,
  dropout: 7,
  pool: 8,
  reference: 9,
  hint: 10,
  continuation: 11,
  /** whose completions a step on a data set learns from */
  source: 12,
  /** noise in the hidden states of training passes */
  perturbation: 13,
  /** which rollouts make a set */
  vines: 14,
  /** tokens drawn at every place of a text */
  tokenDraws: 15,
  /** answers to a prompt in other words */
  variant: 16,
  /** and above: one stream a round */
  round: 1000,
} as const;

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of a 32 × 32 bit product, unsigned. */
function multiplyHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const middle = ah * bl + Math.floor((al * bl) / 65536);
  const low = al * bh + (middle % 65536);
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(low / 65536)) >>> 0;
}

/**
 * Four random words of one counter under one key.
 * @param out filled and returned; a new array where left out
 */
export function philox(
  key0: number,
  key1: number,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  out: Uint32Array = new Uint32Array(4),
): Uint32Array {
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(M0, c0 >>> 0);
    const low0 = Math.imul(M0, c0);
    const high1 = multiplyHigh(M1, c2 >>> 0);
    const low1 = Math.imul(M1, c2);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 = (key0 + W0) | 0;
    key1 = (key1 + W1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/** A uniform number in [0, 1) on the grid of 2⁻²⁴, exact in f32. */
export function uniform(bits: number): number {
  return (bits >>> 8) * 2 ** -24;
}

/** A sequence of random numbers at the coordinates (seed, stream, a, b, c). */
export class Stream {
  readonly #key: readonly [number, number];
  readonly #counter: readonly [number, number, number];
  readonly #words = new Uint32Array(4);
  #block = 0;
  #used = 4;

  constructor(seed: number, stream: number, a = 0, b = 0, c = 0) {
    this.#key = [seed, stream];
    this.#counter = [a, b, c];
  }

  /** The next 32 random bits, unsigned. */
  bits(): number {
    if (this.#used === 4) {
      philox(this.#key[0], this.#key[1], ...this.#counter, this.#block++, this.#words);
      this.#used = 0;
    }
    return this.#words[this.#used++];
  }

  /** The next uniform number in [0, 1). */
  uniform(): number {
    return uniform(this.bits());
  }

  /** A whole number in [0, n), every one equally likely (words that would favour the small ones are drawn again). */
  below(n: number): number {
    const limit = 4294967296 - (4294967296 % n);
    let word = this.bits();
    while (word >= limit) word = this.bits();
    return word % n;
  }

  /** One element of a non-empty list or one character of a text. */
  pick<T>(items: ArrayLike<T>): T {
    return items[this.below(items.length)];
  }

  /** Permutes the array in place (Fisher–Yates) and returns it. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }
}

/** A 32-bit hash of a text (murmur3's finaliser over its UTF-16 units); spreads close texts, resists nobody. */
export function hashText(text: string, seed = 0): number {
  let h = seed ^ text.length;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x5bd1e995);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
