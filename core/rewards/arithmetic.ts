/** @file Exact evaluation of arithmetic written by a model: rationals of unbounded integers, no rounding, no eval. */

export interface Rational {
  readonly numerator: bigint;
  /** positive; 1 for a whole number */
  readonly denominator: bigint;
}

export interface Evaluated {
  readonly value: Rational;
  /** the numbers in the order in which they stand */
  readonly numbers: bigint[];
}

const MAX_LENGTH = 400;

function rational(numerator: bigint, denominator: bigint): Rational {
  let a = numerator < 0n ? -numerator : numerator;
  let b = denominator < 0n ? -denominator : denominator;
  while (b) [a, b] = [b, a % b];
  const sign = denominator < 0n ? -1n : 1n;
  return { numerator: (sign * numerator) / (a || 1n), denominator: (sign * denominator) / (a || 1n) };
}

/**
 * The exact value of an expression of whole numbers, + − × ÷ (also - * /) and parentheses, with the usual precedence.
 * No unary signs. Null where the text is anything else, divides by zero, or is longer than 400 characters.
 */
export function evaluateArithmetic(text: string): Evaluated | null {
  if (text.length > MAX_LENGTH) return null;
  const tokens =
    text
      .replaceAll("×", "*")
      .replaceAll("÷", "/")
      .replaceAll("−", "-")
      .match(/\d+|\S/g) ?? [];
  const numbers: bigint[] = [];
  let at = 0;

  const primary = (): Rational | null => {
    const token = tokens[at++];
    if (token === "(") {
      const value = sum();
      return tokens[at++] === ")" ? value : null;
    }
    if (token === undefined || !/^\d+$/.test(token)) return null;
    const value = BigInt(token);
    numbers.push(value);
    return { numerator: value, denominator: 1n };
  };
  const product = (): Rational | null => {
    let left = primary();
    while (left && (tokens[at] === "*" || tokens[at] === "/")) {
      const times = tokens[at++] === "*";
      const right = primary();
      if (!right || (!times && right.numerator === 0n)) return null;
      left = times
        ? rational(left.numerator * right.numerator, left.denominator * right.denominator)
        : rational(left.numerator * right.denominator, left.denominator * right.numerator);
    }
    return left;
  };
  const sum = (): Rational | null => {
    let left = product();
    while (left && (tokens[at] === "+" || tokens[at] === "-")) {
      const sign = tokens[at++] === "+" ? 1n : -1n;
      const right = product();
      if (!right) return null;
      left = rational(
        left.numerator * right.denominator + sign * right.numerator * left.denominator,
        left.denominator * right.denominator,
      );
    }
    return left;
  };

  const value = sum();
  return value && at === tokens.length ? { value, numbers } : null;
}

/** True where the expression uses exactly these numbers, each as often as given, in any order. */
export function usesExactly(numbers: readonly bigint[], given: readonly number[]): boolean {
  const order = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0);
  const used = [...numbers].sort(order);
  const want = given.map(BigInt).sort(order);
  return used.length === want.length && used.every((u, i) => u === want[i]);
}
