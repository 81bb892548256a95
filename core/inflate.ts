/**
 * @file Raw DEFLATE (RFC 1951), undone at once: the WASM modules travel at half their size, and the engines' own
 * decompression is asynchronous. Input is the build's own; damage is found, not repaired.
 */
import { CohortError } from "./errors.ts";

/** Bases and extra bits of length codes 257 … 285 and of distance codes 0 … 29 (RFC 1951, section 3.2.5). */
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const LENGTHS = LENGTH_BITS.map((_, k) => (k === 28 ? 258 : k < 8 ? 3 + k : 3 + ((4 + (k % 4)) << LENGTH_BITS[k])));
const DISTANCE_BITS = Array.from({ length: 30 }, (_, k) => Math.max(0, (k >> 1) - 1));
const DISTANCES = DISTANCE_BITS.map((bits, k) => (k < 4 ? 1 + k : 1 + ((2 + (k & 1)) << bits)));
/** The order in which lengths of the code of code lengths come (section 3.2.7). */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A canonical Huffman code: how many codes have each length, and the symbols in the order of their codes. */
interface Code {
  counts: Uint16Array;
  symbols: Uint16Array;
}

function codeOf(lengths: ArrayLike<number>): Code {
  const counts = new Uint16Array(16);
  for (let s = 0; s < lengths.length; s++) counts[lengths[s]]++;
  counts[0] = 0;
  const next = new Uint16Array(16);
  for (let bits = 1; bits < 15; bits++) next[bits + 1] = next[bits] + counts[bits];
  const symbols = new Uint16Array(lengths.length);
  for (let s = 0; s < lengths.length; s++) if (lengths[s] > 0) symbols[next[lengths[s]]++] = s;
  return { counts, symbols };
}

const fixedLengths = Array.from({ length: 288 }, (_, s) => (s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8));

/**
 * @param size bytes of the result
 * @throws CohortError("io") where the data are damaged
 */
export function inflate(data: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  let at = 0;
  let from = 0;
  let held = 0;
  let bits = 0;
  const damaged = (what: string) =>
    new CohortError("io", `inflate: ${what} at byte ${from} of ${data.length}`, "build the package again");
  const take = (n: number): number => {
    while (bits < n) {
      if (from >= data.length) throw damaged("the end");
      held |= data[from++] << bits;
      bits += 8;
    }
    const value = held & ((1 << n) - 1);
    held >>>= n;
    bits -= n;
    return value;
  };
  const symbol = ({ counts, symbols }: Code): number => {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= 15; length++) {
      code |= take(1);
      const count = counts[length];
      if (code - count < first) return symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw damaged("no symbol");
  };
  const dynamic = (): [Code, Code] => {
    const [literals, distances, codes] = [257 + take(5), 1 + take(5), 4 + take(4)];
    const small = new Uint8Array(19);
    for (let k = 0; k < codes; k++) small[ORDER[k]] = take(3);
    const code = codeOf(small);
    const lengths = new Uint8Array(literals + distances);
    for (let k = 0; k < lengths.length; ) {
      const s = symbol(code);
      if (s < 16) lengths[k++] = s;
      else {
        const value = s === 16 ? lengths[k - 1] : 0;
        for (let times = s === 16 ? 3 + take(2) : s === 17 ? 3 + take(3) : 11 + take(7); times > 0; times--) {
          lengths[k++] = value;
        }
      }
    }
    return [codeOf(lengths.subarray(0, literals)), codeOf(lengths.subarray(literals))];
  };
  for (let last = 0; last === 0; ) {
    last = take(1);
    const kind = take(2);
    if (kind === 0) {
      held = bits = 0;
      const length = data[from] | (data[from + 1] << 8);
      from += 4;
      out.set(data.subarray(from, from + length), at);
      from += length;
      at += length;
      continue;
    }
    if (kind === 3) throw damaged("no such block");
    const [literals, distances] = kind === 1 ? [codeOf(fixedLengths), codeOf(new Uint8Array(30).fill(5))] : dynamic();
    for (let s = symbol(literals); s !== 256; s = symbol(literals)) {
      if (s < 256) out[at++] = s;
      else {
        const length = LENGTHS[s - 257] + take(LENGTH_BITS[s - 257]);
        const d = symbol(distances);
        const back = DISTANCES[d] + take(DISTANCE_BITS[d]);
        if (back > at || at + length > size) throw damaged("a copy from nowhere");
        for (let k = 0; k < length; k++, at++) out[at] = out[at - back];
      }
    }
  }
  if (at !== size) throw damaged(`${at} of ${size} bytes`);
  return out;
}

/** A module of core/generated: "size base64". */
export function unpackModule(text: string): Uint8Array<ArrayBuffer> {
  const cut = text.indexOf(" ");
  const data = Uint8Array.from(atob(text.slice(cut + 1)), (c) => c.charCodeAt(0));
  return inflate(data, Number(text.slice(0, cut)));
}
