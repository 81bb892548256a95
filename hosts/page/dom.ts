/** @file Elements in one expression, and the few helpers that every part of the page uses. */
import { CohortError } from "../../core/errors.ts";

export type Child = Node | string | number | null | undefined | false;

/**
 * An element. `class` and attributes by name, `on…` functions as listeners, true and false for attributes that are there or
 * not; `value`, `checked` and `disabled` set the property.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Readonly<Record<string, unknown>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "value" || name === "checked" || name === "disabled") Reflect.set(element, name, value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child as Node | string);
  }
}

/** Puts these in place of what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

let serial = 0;

/** A form field under its label, with a line that explains it. */
export function field(label: string, control: HTMLElement, doc?: Child, inline = false): HTMLElement {
  control.id ||= `field-${serial++}`;
  const note = doc ? h("small", { id: `${control.id}-doc`, class: "doc" }, doc) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: inline ? "field inline" : "field" }, h("label", { for: control.id }, label), control, note);
}

/** A place for a message about the thing above it: empty and silent, or read out. */
export function messageLine(): { element: HTMLElement; say(text: string, kind?: "error" | "note" | "good"): void } {
  const element = h("p", { class: "message", role: "status", hidden: true });
  return {
    element,
    say(text, kind = "note") {
      element.hidden = text === "";
      element.dataset["kind"] = kind;
      element.textContent = text;
    },
  };
}

/** An error as a person reads it. */
export function said(error: unknown): string {
  if (error instanceof CohortError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

export function bytes(n: number): string {
  if (n < 1e3) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toPrecision(3)} kB`;
  if (n < 1e9) return `${(n / 1e6).toPrecision(3)} MB`;
  return `${(n / 1e9).toPrecision(3)} GB`;
}
