/** @file Plots as SVG text: no script, no fonts, colours from the page's CSS variables. Reports and the page draw with these. */

/** Text that is safe inside HTML and inside quoted attributes. */
export function escapeHtml(text: unknown): string {
  return String(text).replace(
    /[&<>"']/g,
    (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c] as string,
  );
}

/** A number for people: about three significant digits. */
export function formatNumber(x: number | null | undefined): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e9) return x.toExponential(2);
  if (size >= 1e6) return `${Number((x / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((x / 1e3).toPrecision(3))}k`;
  if (size < 1e-3) return x.toExponential(1);
  return String(Number(x.toPrecision(3)));
}

/** Round numbers that span [low, high], about `count` of them. */
export function ticks(low: number, high: number, count = 5): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  let unit = 1;
  while (unit > rough) unit /= 10;
  while (unit * 10 <= rough) unit *= 10;
  const step = [1, 2, 5, 10].find((m) => unit * m >= rough)! * unit;
  const marks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9) + 0; k * step <= high + step * 1e-9; k++) marks.push(k * step);
  return marks;
}

export interface Point {
  x: number;
  y: number;
  /** an interval around y */
  low?: number;
  high?: number;
}

export interface Plot {
  title: string;
  points: readonly Point[];
  /** what x counts */
  xLabel?: string;
  /** dots with their intervals instead of a line of many points */
  dots?: boolean;
  /** the axis starts here, or lower where the data do */
  from?: number;
  /** and ends here, or higher */
  to?: number;
}

/** Several lines in one picture, each with its interval as a band where its points have one. */
export interface CurvesPlot extends Omit<Plot, "points" | "dots"> {
  series: readonly { name: string; points: readonly Point[] }[];
}

/** Values in groups side by side, such as before and after. */
export interface BarsPlot {
  title: string;
  /** what stands side by side: the first faint, the last strong */
  names: readonly [string, string];
  groups: readonly { name: string; values: readonly (Point | null)[] }[];
  /** the axis ends here, or higher */
  to?: number;
}

const SMALL = { width: 360, height: 170 };
const LARGE = { width: 480, height: 240 };
const PAD = { left: 44, right: 12, top: 10, bottom: 24 };

/** Lines are told apart by colour and, from the fifth on, by dashes; the colours are the style sheet's --s0 … --s7. */
const SERIES_COLOURS = 8;
const seriesColour = (k: number) => `var(--s${k % SERIES_COLOURS})`;
const dashes = (k: number) => (k < 4 ? "" : ` stroke-dasharray="${k < 8 ? "6 3" : "2 3"}"`);

/** Moving average over a window centred on each point, so that a curve is not late; narrower at the ends. */
function smooth(points: readonly Point[]): Point[] {
  const reach = Math.min(20, Math.ceil(points.length / 16));
  return points.map(({ x }, i) => {
    const half = Math.min(reach, i, points.length - 1 - i);
    let sum = 0;
    for (let k = i - half; k <= i + half; k++) sum += points[k].y;
    return { x, y: sum / (2 * half + 1) };
  });
}

/** At most `count` points: the means of equal runs of neighbours. */
function thin(points: readonly Point[], count = 400): Point[] {
  if (points.length <= count) return [...points];
  return Array.from({ length: count }, (_, i) => {
    const part = points.slice(Math.floor((i * points.length) / count), Math.floor(((i + 1) * points.length) / count));
    return { x: part[0].x, y: part.reduce((sum, p) => sum + p.y, 0) / part.length };
  });
}

const finite = (points: readonly Point[]) => points.filter((p) => Number.isFinite(p.x) && Number.isFinite(p.y));

/** Where data lie in the picture, and its grid. */
function frame(points: readonly Point[], { width, height } = SMALL, { from, to }: { from?: number; to?: number } = {}) {
  const xs = points.map((p) => p.x);
  const ys = points.flatMap((p) => [p.low ?? p.y, p.high ?? p.y]);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let y0 = Math.min(...ys, from ?? Number.POSITIVE_INFINITY);
  let y1 = Math.max(...ys, to ?? Number.NEGATIVE_INFINITY);
  if (y0 === y1) {
    const margin = Math.abs(y0) / 10 || 1;
    y0 -= from === undefined || y0 < from ? margin : 0;
    y1 += margin;
  }
  const fix = (v: number) => String(Number(v.toFixed(1)));
  const px = (x: number) => fix(PAD.left + ((x - x0) / (x1 - x0 || 1)) * (width - PAD.left - PAD.right));
  const py = (y: number) => fix(height - PAD.bottom - ((y - y0) / (y1 - y0)) * (height - PAD.top - PAD.bottom));
  const path = (line: readonly Point[]) => line.map((p, i) => `${i ? "L" : "M"}${px(p.x)} ${py(p.y)}`).join("");
  const rows = ticks(y0, y1).map(
    (y) =>
      `<line class="grid" x1="${PAD.left}" x2="${width - PAD.right}" y1="${py(y)}" y2="${py(y)}"/>` +
      `<text x="${PAD.left - 6}" y="${py(y)}" dy="0.32em" text-anchor="end">${formatNumber(y)}</text>`,
  );
  const whole = ticks(x0, x1, 5).filter((x) => Number.isInteger(x));
  const columns = (whole.length > 0 ? whole : [x0]).map(
    (x) => `<text x="${px(x)}" y="${height - 8}" text-anchor="middle">${formatNumber(x)}</text>`,
  );
  return { px, py, path, rows, columns };
}

function figure(title: string, value: string, label: string, parts: readonly string[], { width, height } = SMALL) {
  const head = `<figcaption><span>${escapeHtml(title)}</span><b>${value}</b></figcaption>`;
  const svg = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(label)}">${parts.join("")}</svg>`;
  return `<figure>${head}${svg}</figure>`;
}

const nothing = (title: string) =>
  `<figure><figcaption><span>${escapeHtml(title)}</span><b></b></figcaption><p class="none">not measured in this run</p></figure>`;

/** A figure with its plot; a note instead where there is no point. */
export function plotFigure(plot: Plot): string {
  const points = thin(finite(plot.points));
  const last = points.at(-1);
  if (!last) return nothing(plot.title);
  const { px, py, path, rows, columns } = frame(points, SMALL, plot);
  const parts = [...rows, ...columns];
  if (plot.dots) {
    if (points.length > 1) parts.push(`<path class="line" d="${path(points)}"/>`);
    for (const p of points) {
      if (p.low !== undefined && p.high !== undefined) {
        parts.push(`<line class="whisker" x1="${px(p.x)}" x2="${px(p.x)}" y1="${py(p.low)}" y2="${py(p.high)}"/>`);
      }
    }
  } else {
    parts.push(`<path class="raw" d="${path(points)}"/>`, `<path class="line" d="${path(smooth(points))}"/>`);
  }
  const radius = plot.dots || points.length === 1 ? 4 : 7;
  for (const p of points) {
    const tip = `${plot.xLabel ?? "step"} ${formatNumber(p.x)}: ${formatNumber(p.y)}`;
    const kind = plot.dots || points.length === 1 ? "dot" : "hit";
    parts.push(
      `<circle class="${kind}" cx="${px(p.x)}" cy="${py(p.y)}" r="${radius}"><title>${escapeHtml(tip)}</title></circle>`,
    );
  }
  const label = `${plot.title}: from ${formatNumber(points[0].y)} to ${formatNumber(last.y)}`;
  return figure(plot.title, formatNumber(last.y), label, parts);
}

/** Several lines with their bands; each line's end is told by its title. */
export function curvesFigure(plot: CurvesPlot): string {
  const series = plot.series.map(({ name, points }) => ({ name, points: finite(points) }));
  const all = series.flatMap(({ points }) => points);
  if (all.length === 0) return nothing(plot.title);
  const { path, px, py, rows, columns } = frame(all, LARGE, plot);
  const parts = [...rows, ...columns];
  series.forEach(({ points }, k) => {
    const [over, under] = [points.map((p) => ({ x: p.x, y: p.high! })), points.map((p) => ({ x: p.x, y: p.low! }))];
    if (points.length > 1 && points.every((p) => p.low !== undefined && p.high !== undefined)) {
      parts.push(`<path d="${path([...over, ...under.reverse()])}Z" fill="${seriesColour(k)}" opacity=".15"/>`);
    }
  });
  series.forEach(({ name, points }, k) => {
    const last = points.at(-1);
    if (!last) return;
    const range = Number.isFinite(last.low) ? ` [${formatNumber(last.low)}, ${formatNumber(last.high)}]` : "";
    const tip = `<title>${escapeHtml(`${name}: ${formatNumber(last.y)}${range} at ${plot.xLabel ?? "step"} ${formatNumber(last.x)}`)}</title>`;
    if (points.length === 1) {
      parts.push(`<circle cx="${px(last.x)}" cy="${py(last.y)}" r="4" fill="${seriesColour(k)}">${tip}</circle>`);
      return;
    }
    const style = `fill="none" stroke="${seriesColour(k)}" stroke-width="2" stroke-linejoin="round"${dashes(k)}`;
    parts.push(`<path d="${path(points)}" ${style}>${tip}</path>`);
  });
  const ends = series.map(({ name, points }) => `${name} ${formatNumber(points.at(-1)?.y)}`);
  return figure(plot.title, "", `${plot.title}: ${ends.join(", ")}`, parts, LARGE);
}

/** Which line is which. */
export function legend(names: readonly string[]): string {
  const line = (k: number) => `<path d="M0 3H22" stroke="${seriesColour(k)}" stroke-width="3"${dashes(k)}/>`;
  const items = names.map(
    (name, k) => `<li><svg viewBox="0 0 22 6" aria-hidden="true">${line(k)}</svg>${escapeHtml(name)}</li>`,
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}

/** Pairs of bars with their intervals. */
export function barsFigure(plot: BarsPlot): string {
  const all = plot.groups.flatMap(({ values }, g) => finite(values.flatMap((v) => (v ? [{ ...v, x: g }] : []))));
  if (all.length === 0) return nothing(plot.title);
  const { py, rows } = frame(all, SMALL, { from: 0, to: plot.to });
  const parts = [...rows];
  const room = (SMALL.width - PAD.left - PAD.right) / plot.groups.length;
  const width = Math.min(34, room / 3);
  plot.groups.forEach(({ name, values }, g) => {
    const middle = PAD.left + room * (g + 0.5);
    parts.push(
      `<text x="${middle.toFixed(1)}" y="${SMALL.height - 8}" text-anchor="middle">${escapeHtml(name)}</text>`,
    );
    values.forEach((value, k) => {
      if (!value || !Number.isFinite(value.y)) return;
      const left = middle + (k - values.length / 2) * (width + 3) + 1.5;
      const [top, foot] = [Number(py(Math.max(0, value.y))), Number(py(Math.min(0, value.y)))];
      const tip = `${name} ${plot.names[k]}: ${formatNumber(value.y)}`;
      parts.push(
        `<rect class="bar${k}" x="${left.toFixed(1)}" y="${top}" width="${width.toFixed(1)}" height="${Math.max(0.5, foot - top).toFixed(1)}" rx="2"><title>${escapeHtml(tip)}</title></rect>`,
      );
      if (value.low !== undefined && value.high !== undefined) {
        const at = (left + width / 2).toFixed(1);
        parts.push(`<line class="error" x1="${at}" x2="${at}" y1="${py(value.low)}" y2="${py(value.high)}"/>`);
      }
    });
  });
  const said = plot.groups.map(({ name, values }) => `${name} ${values.map((v) => formatNumber(v?.y)).join(" to ")}`);
  return figure(
    plot.title,
    plot.names.join(" → "),
    `${plot.title}, ${plot.names.join(" and ")}: ${said.join(", ")}`,
    parts,
  );
}
