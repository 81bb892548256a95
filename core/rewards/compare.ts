/** @file Whether two mathematical answers are the same: exact rationals, tuples, sets, intervals. */

import { type Expression, exactValue, parseExpression } from "./expression.ts";

/** Decides what exact values cannot (roots, variables, functions); false where it cannot either. */
export type Undecided = (a: Expression, b: Expression) => boolean;

interface Answer {
  /** as written around the elements: "(", ")" of a tuple or an open interval, "{", "}" of a set, "" */
  open: string;
  close: string;
  elements: string[];
}

/** Commas outside of brackets part an answer; its own brackets, where they hold a list, are its kind. */
function readAnswer(text: string): Answer {
  const bare = text
    .replace(/\\(?:left|right|!|,|;| )/g, "")
    .replace(/\\([{}])/g, "⟨$1⟩")
    .replace(/⟨\{⟩/g, "⦃")
    .replace(/⟨\}⟩/g, "⦄")
    .replace(/^\s*\$+|\$+\s*$/g, "")
    .replace(/^\s*[a-zA-Z](?:_\w)?\s*(?:=|\\in\b|∈)\s*/, "")
    .trim()
    .replace(/\.$/, "");
  const [open, close] = [bare[0] ?? "", bare.at(-1) ?? ""];
  if ((open === "⦃" && close === "⦄") || (open === "{" && close === "}")) {
    return { open: "{", close: "}", elements: split(bare.slice(1, -1)) };
  }
  if (/[[(]/.test(open) && /[\])]/.test(close) && balanced(bare.slice(1, -1))) {
    const elements = split(bare.slice(1, -1));
    if (elements.length > 1) return { open, close, elements };
  }
  return { open: "", close: "", elements: split(bare) };
}

function balanced(text: string): boolean {
  let depth = 0;
  for (const c of text) {
    if ("([{⦃".includes(c)) depth++;
    else if (")]}⦄".includes(c) && --depth < 0) return false;
  }
  return depth === 0;
}

/** @returns the elements, 256 at most */
function split(text: string): string[] {
  const whole = text.replace(/(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)/g, (n) => n.replaceAll(",", ""));
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let k = 0; k < whole.length && parts.length < 256; k++) {
    if ("([{⦃".includes(whole[k])) depth++;
    else if (")]}⦄".includes(whole[k])) depth--;
    else if (depth === 0 && (whole[k] === "," || whole[k] === ";")) {
      parts.push(whole.slice(from, k).trim());
      from = k + 1;
    }
  }
  parts.push(whole.slice(from).trim());
  return parts;
}

const words = (text: string) =>
  text
    .replace(/\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}/g, "$1")
    .replace(/[\s$]+/g, " ")
    .trim()
    .toLowerCase();

function sameElement(a: string, b: string, undecided: Undecided): boolean {
  if (words(a) === words(b)) return true;
  // A percent sign on one side only may be a hundredth, 50 % = 1/2, or a unit, 50 % = 50.
  if (a.includes("%") !== b.includes("%") && sameValue(a.replace(/\\?%/g, ""), b.replace(/\\?%/g, ""), undecided))
    return true;
  return sameValue(a, b, undecided);
}

function sameValue(a: string, b: string, undecided: Undecided): boolean {
  const [x, y] = [parseExpression(a), parseExpression(b)];
  if (!x || !y) return false;
  const [p, q] = [exactValue(x), exactValue(y)];
  if (p && q) return p.numerator === q.numerator && p.denominator === q.denominator;
  return undecided(x, y);
}

/**
 * Whether two answers say the same. A list without brackets or in braces is a set, one in parentheses or brackets is ordered
 * and its brackets count. Texts longer than 2,000 characters are no answers.
 */
export function sameAnswer(given: string, wanted: string, undecided: Undecided = () => false): boolean {
  if (given.length > 2000 || wanted.length > 2000 || words(given) === "") return false;
  const [a, b] = [readAnswer(given), readAnswer(wanted)];
  if (a.elements.length !== b.elements.length || (a.elements.length > 1 && a.open + a.close !== b.open + b.close)) {
    const kinds = new Set([a.open + a.close, b.open + b.close]);
    const bothSets = kinds.size === 2 && kinds.has("") && kinds.has("{}");
    if (a.elements.length !== b.elements.length || !bothSets) return false;
  }
  if (a.open === "(" || a.open === "[") return a.elements.every((e, k) => sameElement(e, b.elements[k], undecided));
  const left = [...b.elements];
  return a.elements.every((element) => {
    const at = left.findIndex((other) => sameElement(element, other, undecided));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}
