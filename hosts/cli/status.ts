/** @file Live status: one line that is drawn over on a terminal, plain lines where output is piped. */

import { dataKeys, type StepMetrics } from "../../core/log.ts";
import { formatNumber } from "../../core/plot.ts";
import type { Io } from "./command.ts";

/** Seconds as people say them. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s`;
  return `${Math.floor(s / 3600)}h${String(Math.floor((s % 3600) / 60)).padStart(2, "0")}m`;
}

export function bar(done: number, total: number, width: number): string {
  const full = total > 0 ? Math.round((Math.min(done, total) / total) * width) : width;
  return "█".repeat(full) + "░".repeat(width - full);
}

export class Status {
  readonly #io: Io;
  #started: number | null = null;
  #from = 0;
  #drawn = false;

  constructor(io: Io) {
    this.#io = io;
  }

  /** A line that stays. */
  line(text: string): void {
    this.clear();
    this.#io.out(`${text}\n`);
  }

  clear(): void {
    if (this.#drawn) this.#io.out("\r\x1b[2K");
    this.#drawn = false;
  }

  /** A line that the next one replaces. */
  progress(text: string): void {
    if (this.#io.terminal) this.#draw(text);
  }

  #draw(text: string): void {
    const room = Math.max(20, this.#io.columns - 1);
    this.#io.out(`\r\x1b[2K${text.length > room ? text.slice(0, room) : text}`);
    this.#drawn = true;
  }

  /** Time left, from the pace since `begin`. */
  #eta(done: number, total: number): string {
    if (this.#started === null || done <= this.#from) return "";
    const pace = (this.#io.now() - this.#started) / 1000 / (done - this.#from);
    return ` · ETA ${duration(pace * (total - done))}`;
  }

  /** Starts the clock of a phase; `from` steps are done already. */
  begin(from = 0): void {
    this.#started = this.#io.now();
    this.#from = from;
  }

  warmStart(step: number, steps: number, loss: number): void {
    const text = `warm start ${step}/${steps} · loss ${formatNumber(loss)}`;
    if (this.#io.terminal) this.#draw(`${bar(step, steps, 20)} ${text}${this.#eta(step, steps)}`);
    else if (step === steps || step % Math.max(1, Math.floor(steps / 5)) === 0) this.line(text);
  }

  step(m: StepMetrics, steps: number): void {
    const numbers = (m.epoch === undefined ? this.#rollouts(m) : this.#data(m)).join(" · ");
    const eta = this.#eta(m.step, steps);
    if (this.#io.terminal) this.#draw(`${bar(m.step, steps, 20)} ${m.step}/${steps} · ${numbers}${eta}`);
    else this.line(`step ${m.step}/${steps} · ${numbers}${eta}`);
  }

  #data(m: StepMetrics): string[] {
    return [
      `epoch ${formatNumber(m.epoch)}`,
      ...dataKeys.slice(0, 3).flatMap((key) => (typeof m[key] === "number" ? [`${key} ${formatNumber(m[key])}`] : [])),
      `${formatNumber(m.tokens_per_second)} tokens/s`,
    ];
  }

  #rollouts(m: StepMetrics): string[] {
    return [
      `reward ${formatNumber(m.reward)}`,
      `entropy ${formatNumber(m.entropy)}`,
      `KL ${formatNumber(m.kl)}`,
      `${formatNumber(m.tokens_per_second)} tokens/s`,
    ];
  }
}

/** Columns of text, the first flush left, the others flush right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Words wrapped at a width, each line after `indent`. */
export function wrap(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(/\s+/).filter(Boolean)) {
      if (line && indent.length + line.length + 1 + word.length > width) {
        lines.push(indent + line);
        line = word;
      } else line = line ? `${line} ${word}` : word;
    }
    lines.push(indent + line);
  }
  return lines.join("\n");
}
