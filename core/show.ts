/** @file Texts and values as messages show them, whatever a function or an app gave. */

/** The first characters of a text on one line. */
export function excerpt(text: string, most = 80): string {
  const line = JSON.stringify(text.slice(0, most));
  return text.length > most ? `${line.slice(0, -1)}…"` : line;
}

/** Any value, shortened; never throws. */
export function show(value: unknown): string {
  if (typeof value === "string") return excerpt(value, 60);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (value instanceof RegExp) return String(value);
  if (typeof value !== "object" || value === null) return String(value);
  const kind = value.constructor?.name;
  // Of a class JSON often shows nothing, and of numbers in an array it shows an object.
  if (kind && kind !== "Object" && !Array.isArray(value)) return `${/^[AEIO]/.test(kind) ? "an" : "a"} ${kind}`;
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part));
  } catch {
    // It holds itself, or its own toJSON throws.
  }
  if (text === undefined) return "an object that JSON cannot hold";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
