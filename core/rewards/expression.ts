/**
 * @file Mathematics as models write it, plain or LaTeX, as a tree; and the exact value of a tree that is rational. Only what
 * stands in the tables below is read: anything else (a command, an assignment, a word) is no expression. Input is untrusted:
 * its length, depth and the size of numbers are limited, so that every text is answered in bounded time.
 */

import type { Rational } from "./arithmetic.ts";

export type Expression =
  | { kind: "number"; value: Rational }
  | { kind: "variable"; name: string }
  | { kind: "constant"; name: "pi" | "e" | "i" | "Infinity" }
  | { kind: "call"; name: string; arguments: readonly Expression[] }
  | { kind: "operator"; name: "+" | "-" | "*" | "/" | "^"; left: Expression; right: Expression }
  | { kind: "negative"; of: Expression };

const MAX_LENGTH = 1000;
const MAX_DEPTH = 60;
/** of numerator and denominator of an exact value */
const MAX_BITS = 8192;
const MAX_EXPONENT = 4096n;

const FUNCTIONS = new Set(
  "sqrt cbrt root sin cos tan cot sec csc asin acos atan arcsin arccos arctan sinh cosh tanh ln log exp abs".split(" "),
);
const CONSTANTS: Readonly<Record<string, "pi" | "e" | "i" | "Infinity">> = {
  pi: "pi",
  e: "e",
  i: "i",
  infty: "Infinity",
  infinity: "Infinity",
};
const GREEK = new Set("alpha beta gamma delta epsilon theta lambda mu rho sigma tau phi omega".split(" "));
/** LaTeX that changes how a formula looks and not what it says. */
const LOOKS = /\\(?:left|right|displaystyle|limits|big|Big|bigg|Bigg|quad|qquad|[,;:!> ])|~/g;

/** The reader's symbols in one form: LaTeX operators, Unicode, mixed numbers, thousands. */
function plain(text: string): string {
  return (
    text
      .replace(LOOKS, " ")
      .replace(/\\[()[\]]|\$/g, " ")
      .replace(/\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°/g, "")
      .replace(/\\(?:text|mathrm|textbf|mathbf|operatorname)\s*\{([^{}]*)\}/g, (_, inner: string) =>
        FUNCTIONS.has(inner.trim()) ? ` ${inner.trim()} ` : " ",
      )
      .replace(/\\[dt]frac/g, "\\frac")
      .replace(/\\(?:cdot|times|ast)(?![a-zA-Z])|[×·∙*]/g, " * ")
      .replace(/\\div(?![a-zA-Z])|÷/g, " / ")
      .replace(/[−–]/g, "-")
      .replace(/²/g, "^2")
      .replace(/³/g, "^3")
      .replace(/π/g, " pi ")
      .replace(/∞/g, " infinity ")
      .replace(/√/g, " sqrt ")
      .replace(/\*\s+\*/g, "^")
      .replace(/(\d)\s*\\?%/g, "$1/100")
      // 1,234,567 and 1\!,234 are numbers; 1,2 is a list.
      .replace(/(?<![\d.])\d{1,3}(?:\s*\{?,\}?\s*\d{3})+(?!\d)/g, (n) => n.replace(/[^\d]/g, ""))
      .replace(/(?<![\d./)\w])(\d+)\s+(\d+)\s*\/\s*(\d+)(?![\d.])/g, "($1+$2/$3)")
      .replace(/(?<![\d.])(\d+)\s*\\frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}/g, "($1+$2/$3)")
      .trim()
      .replace(/\.$/, "")
  );
}

class NotMaths extends Error {}

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Expression {
    const read = this.#sum();
    this.#space();
    if (this.#at < this.#text.length) throw new NotMaths();
    return read;
  }

  #space(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\n" || this.#text[this.#at] === "\t") this.#at++;
  }

  /** The next character that is no space; "" at the end. */
  #next(): string {
    this.#space();
    return this.#text[this.#at] ?? "";
  }

  #take(token: string): boolean {
    this.#space();
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #match(pattern: RegExp): string | null {
    this.#space();
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) return null;
    this.#at += found[0].length;
    return found[0];
  }

  #sum(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new NotMaths();
    let left = this.#product();
    for (;;) {
      if (this.#take("+")) left = { kind: "operator", name: "+", left, right: this.#product() };
      else if (this.#take("-")) left = { kind: "operator", name: "-", left, right: this.#product() };
      else break;
    }
    this.#depth--;
    return left;
  }

  #product(): Expression {
    let left = this.#factor();
    for (;;) {
      if (this.#take("*")) left = { kind: "operator", name: "*", left, right: this.#factor() };
      else if (this.#take("/")) left = { kind: "operator", name: "/", left, right: this.#factor() };
      // Two values side by side are a product, two numbers are not.
      else if (/[a-zA-Z(\\{]/.test(this.#next())) left = { kind: "operator", name: "*", left, right: this.#power() };
      else return left;
    }
  }

  #factor(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new NotMaths();
    const read: Expression = this.#take("-")
      ? { kind: "negative", of: this.#factor() }
      : this.#take("+")
        ? this.#factor()
        : this.#power();
    this.#depth--;
    return read;
  }

  #power(): Expression {
    const left = this.#atom();
    return this.#take("^") ? { kind: "operator", name: "^", left, right: this.#factor() } : left;
  }

  #group(): Expression {
    const open = this.#next();
    if (open === "{" || open === "(") {
      this.#at++;
      const inner = this.#sum();
      if (!this.#take(open === "{" ? "}" : ")")) throw new NotMaths();
      return inner;
    }
    // \frac12 takes one digit each.
    const digit = this.#match(/\d/y);
    return digit !== null ? number(digit) : this.#atom();
  }

  #atom(): Expression {
    const literal = this.#match(/\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3}(?![\d.]))?|\.\d+/y);
    if (literal !== null) return number(literal);
    const next = this.#next();
    if (next === "(" || next === "{") return this.#group();
    if (this.#take("|")) {
      const inner = this.#sum();
      if (!this.#take("|")) throw new NotMaths();
      return { kind: "call", name: "abs", arguments: [inner] };
    }
    const command = this.#match(/\\[a-zA-Z]+/y)?.slice(1);
    if (command === "frac") {
      const left = this.#group();
      return { kind: "operator", name: "/", left, right: this.#group() };
    }
    if (command !== undefined) return this.#named(command);
    const word = this.#match(/[a-zA-Z]+/y);
    if (word === null) throw new NotMaths();
    if (FUNCTIONS.has(word) || Object.hasOwn(CONSTANTS, word) || GREEK.has(word)) return this.#named(word);
    // Letters side by side are a product: read one, leave the rest.
    this.#at -= word.length - 1;
    return this.#named(word[0]);
  }

  #named(name: string): Expression {
    if (Object.hasOwn(CONSTANTS, name)) return { kind: "constant", name: CONSTANTS[name] };
    if (FUNCTIONS.has(name)) return this.#call(name);
    if (name.length > 1 && !GREEK.has(name)) throw new NotMaths();
    const index = this.#match(/_(?:\d|[a-zA-Z]|\{\w{1,8}\})/y);
    return { kind: "variable", name: name + (index?.replace(/\W/g, "") ?? "") };
  }

  #call(name: string): Expression {
    let degree: Expression | null = null;
    if (name === "sqrt" && this.#take("[")) {
      degree = this.#sum();
      if (!this.#take("]")) throw new NotMaths();
    }
    // sin^2 x is (sin x)^2; \log_2 x has its base below.
    let base: Expression | null = null;
    if (name === "log" && this.#take("_")) base = this.#group();
    const power = this.#take("^") ? this.#group() : null;
    const next = this.#next();
    const inner: Expression = next === "(" || next === "{" ? this.#group() : this.#power();
    const own = name.replace(/^arc/, "a");
    let called: Expression;
    if (degree) called = { kind: "call", name: "root", arguments: [inner, degree] };
    else if (base) {
      const ln = (of: Expression): Expression => ({ kind: "call", name: "ln", arguments: [of] });
      called = { kind: "operator", name: "/", left: ln(inner), right: ln(base) };
    } else called = { kind: "call", name: own, arguments: [inner] };
    return power ? { kind: "operator", name: "^", left: called, right: power } : called;
  }
}

function number(text: string): Expression {
  const [, whole, fraction = "", exponent = "0"] = /^(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text)!;
  const scale = Number(exponent) - fraction.length;
  const digits = BigInt(whole + fraction || "0");
  const value = scale >= 0 ? reduce(digits * tenTo(scale), 1n) : reduce(digits, tenTo(-scale));
  return { kind: "number", value };
}

function tenTo(n: number): bigint {
  let value = 1n;
  for (let k = 0; k < n; k++) value *= 10n;
  return value;
}

function reduce(numerator: bigint, denominator: bigint): Rational {
  let a = numerator < 0n ? -numerator : numerator;
  let b = denominator < 0n ? -denominator : denominator;
  while (b) [a, b] = [b, a % b];
  const sign = denominator < 0n ? -1n : 1n;
  return { numerator: (sign * numerator) / (a || 1n), denominator: (sign * denominator) / (a || 1n) };
}

/** The tree of a text, or null where it is no expression or too large. */
export function parseExpression(text: string): Expression | null {
  if (text.length > MAX_LENGTH) return null;
  try {
    return new Reader(plain(text)).whole();
  } catch (error) {
    if (error instanceof NotMaths) return null;
    throw error;
  }
}

const bits = (x: bigint) => x.toString(16).length * 4;

/** The exact value, or null: not rational, a division by zero, or a number of more than 8,192 bits. */
export function exactValue(tree: Expression): Rational | null {
  const value = valueIn(tree);
  return value && bits(value.numerator) <= MAX_BITS && bits(value.denominator) <= MAX_BITS ? value : null;
}

function valueIn(tree: Expression): Rational | null {
  if (tree.kind === "number") return tree.value;
  if (tree.kind === "negative") {
    const value = exactValue(tree.of);
    return value && { numerator: -value.numerator, denominator: value.denominator };
  }
  if (tree.kind === "call") {
    const value = tree.arguments.length === 1 ? exactValue(tree.arguments[0]) : null;
    if (value && tree.name === "abs") {
      return { numerator: value.numerator < 0n ? -value.numerator : value.numerator, denominator: value.denominator };
    }
    const [a, b] = value && tree.name === "sqrt" ? [rootOf(value.numerator), rootOf(value.denominator)] : [null, null];
    return a !== null && b !== null ? { numerator: a, denominator: b } : null;
  }
  if (tree.kind !== "operator") return null;
  const left = exactValue(tree.left);
  const right = exactValue(tree.right);
  if (!left || !right) return null;
  const { numerator: a, denominator: b } = left;
  const { numerator: c, denominator: d } = right;
  switch (tree.name) {
    case "+":
      return reduce(a * d + c * b, b * d);
    case "-":
      return reduce(a * d - c * b, b * d);
    case "*":
      return reduce(a * c, b * d);
    case "/":
      return c === 0n ? null : reduce(a * d, b * c);
    case "^":
      return d === 1n ? powerOf(left, c) : null;
  }
}

function powerOf(base: Rational, exponent: bigint): Rational | null {
  const times = exponent < 0n ? -exponent : exponent;
  if (times > MAX_EXPONENT || times * BigInt(Math.max(bits(base.numerator), bits(base.denominator))) > MAX_BITS * 4) {
    return null;
  }
  if (exponent < 0n && base.numerator === 0n) return null;
  let value: Rational = { numerator: 1n, denominator: 1n };
  for (let k = 0n; k < times; k++) {
    value = { numerator: value.numerator * base.numerator, denominator: value.denominator * base.denominator };
  }
  return exponent < 0n ? reduce(value.denominator, value.numerator) : value;
}

/** The whole square root, or null. */
function rootOf(n: bigint): bigint | null {
  if (n < 0n) return null;
  if (n < 2n) return n;
  let x = 1n << BigInt((bits(n) >> 1) + 1);
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y >= x) return x * x === n ? x : null;
    x = y;
  }
}

/** Names of the variables in a tree, sorted. */
export function variablesOf(tree: Expression): string[] {
  const names = new Set<string>();
  const walk = (t: Expression): void => {
    if (t.kind === "variable") names.add(t.name);
    else if (t.kind === "negative") walk(t.of);
    else if (t.kind === "call") t.arguments.forEach(walk);
    else if (t.kind === "operator") {
      walk(t.left);
      walk(t.right);
    }
  };
  walk(tree);
  return [...names].sort();
}
