/** @file Where a completion says its answer: the conventions that data sets and models share. */

/**
 * The final answer in a text: what the last `\boxed{…}` holds; else what follows the last `####`; else the last
 * `<answer>…</answer>`; else what follows the last "answer is" or "answer:" on its line; else the last line that is not empty.
 */
export function finalAnswer(text: string): string {
  const boxed = lastBoxed(text);
  if (boxed !== null) return boxed;
  const marked = text.lastIndexOf("####");
  if (marked >= 0) return firstLine(text.slice(marked + 4));
  const close = text.lastIndexOf("</answer>");
  const open = text.lastIndexOf("<answer>", close < 0 ? text.length : close);
  if (open >= 0) return text.slice(open + 8, close > open ? close : text.length).trim();
  const said = lastSaid(text);
  if (said !== null) return said;
  return lastLine(text);
}

function lastSaid(text: string): string | null {
  let found: string | null = null;
  for (const match of text.matchAll(/\banswer(?: is\b|:)[ \t]*:?[ \t]*/gi)) {
    found = firstLine(text.slice(match.index + match[0].length)).replace(/\*+/g, "");
  }
  return found?.trim() ?? null;
}

const firstLine = (text: string) => text.trim().split("\n", 1)[0].trim();

function lastLine(text: string): string {
  const trimmed = text.trimEnd();
  return trimmed.slice(trimmed.lastIndexOf("\n") + 1).trim();
}

function lastBoxed(text: string): string | null {
  const at = Math.max(text.lastIndexOf("\\boxed{"), text.lastIndexOf("\\fbox{"));
  if (at < 0) return null;
  const from = text.indexOf("{", at) + 1;
  let depth = 1;
  for (let k = from; k < text.length; k++) {
    if (text[k] === "{") depth++;
    else if (text[k] === "}" && --depth === 0) return text.slice(from, k).trim();
  }
  return null;
}

/** The last fenced block of a language (or without one), else of any; null where there is none. */
export function fencedBlock(text: string, languages: readonly string[]): string | null {
  const blocks = [...text.matchAll(/^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n([\s\S]*?)^[ \t]*```/gm)];
  const own = blocks.filter(([, language]) => language === "" || languages.includes(language.toLowerCase()));
  return (own.at(-1) ?? blocks.at(-1))?.[2] ?? null;
}
