/** @file Line plots as SVG text: no script, no fonts, colours from the page's CSS variables. */

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

const WIDTH = 360;
const HEIGHT = 170;
const PAD = { left: 44, right: 12, top: 10, bottom: 24 };

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

/** A figure with its plot; a note instead where there is no point. */
export function plotFigure(plot: Plot): string {
  const points = thin(plot.points.filter((p) => Number.isFinite(p.x) && Number.isFinite(p.y)));
  const last = points.at(-1);
  const head = `<figcaption><span>${escapeHtml(plot.title)}</span><b>${last ? formatNumber(last.y) : ""}</b></figcaption>`;
  if (!last) return `<figure>${head}<p class="none">not measured in this run</p></figure>`;

  const xs = points.map((p) => p.x);
  const ys = points.flatMap((p) => [p.low ?? p.y, p.high ?? p.y]);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let y0 = Math.min(...ys, plot.from ?? Number.POSITIVE_INFINITY);
  let y1 = Math.max(...ys, plot.to ?? Number.NEGATIVE_INFINITY);
  if (y0 === y1) {
    const margin = Math.abs(y0) / 10 || 1;
    y0 -= plot.from === undefined || y0 < plot.from ? margin : 0;
    y1 += margin;
  }
  const fix = (v: number) => String(Number(v.toFixed(1)));
  const px = (x: number) => fix(PAD.left + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - PAD.left - PAD.right));
  const py = (y: number) => fix(HEIGHT - PAD.bottom - ((y - y0) / (y1 - y0)) * (HEIGHT - PAD.top - PAD.bottom));
  const path = (line: readonly Point[]) => line.map((p, i) => `${i ? "L" : "M"}${px(p.x)} ${py(p.y)}`).join("");

  const parts: string[] = [];
  for (const y of ticks(y0, y1)) {
    parts.push(`<line class="grid" x1="${PAD.left}" x2="${WIDTH - PAD.right}" y1="${py(y)}" y2="${py(y)}"/>`);
    parts.push(`<text x="${PAD.left - 6}" y="${py(y)}" dy="0.32em" text-anchor="end">${formatNumber(y)}</text>`);
  }
  const whole = ticks(x0, x1, 5).filter((x) => Number.isInteger(x));
  for (const x of whole.length > 0 ? whole : [x0]) {
    parts.push(`<text x="${px(x)}" y="${HEIGHT - 8}" text-anchor="middle">${formatNumber(x)}</text>`);
  }
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
  return `<figure>${head}<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(label)}">${parts.join("")}</svg></figure>`;
}
