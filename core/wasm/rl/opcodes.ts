/**
 * @file Operation codes of the block interpreter, shared by the AssemblyScript module and by `core/rl`.
 */

// elementwise, one operand
export const COPY = 1;
export const NEG = 2;
export const ABS = 3;
export const EXP = 4;
export const LOG = 5;
export const SQRT = 6;
export const SIGMOID = 7;
export const TANH = 8;
export const LOG1P = 9;
export const EXPM1 = 10;
export const LOG_SIGMOID = 11;
export const FLOOR = 12;
export const SIGN = 13;
export const COS = 14;
export const SIN = 15;
export const LOG_GAMMA = 16;
export const DIGAMMA = 17;
// elementwise, two operands
export const ADD = 32;
export const SUB = 33;
export const MUL = 34;
export const DIV = 35;
export const MIN = 36;
export const MAX = 37;
export const POW = 38;
export const LT = 39;
export const LE = 40;
export const EQ = 41;
// elementwise, three or four operands
export const SELECT = 48;
export const CLAMP = 49;
export const INSIDE = 50;
export const SURROGATE = 51;
export const SURROGATE_SLOPE = 52;
// two operations in one walk, each with its own rounding (core/rl/schedule.ts puts them in)
export const EXP_SUB = 56;
export const MUL_MUL = 57;
// between levels
export const SPREAD_RUNS = 64;
export const SPREAD_INDEX = 65;
export const SUM_RUNS = 66;
export const SUM_INDEX = 67;
export const MAX_RUNS = 68;
export const MAX_INDEX = 69;
export const MIN_RUNS = 70;
export const MIN_INDEX = 71;
export const SUM_PRODUCTS = 72;

/** Elements of a block: 2 KiB a register, so that a program's registers stay in the first-level cache. */
export const BLOCK = 256;
/** 32-bit words of one instruction: op, then (address, step) of out, a, b, c, d, then offsets, index, size, scratch. */
export const WORDS = 16;
