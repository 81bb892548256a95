/**
 * @file Points and clusters of them.
 */

export type Point = readonly number[];

/** Euclidean distance. */
export const distance = (a: Point, b: Point): number =>
  Math.sqrt(a.reduce((sum, x, k) => sum + (x - b[k]) * (x - b[k]), 0));

/** Mean of the points, coordinate by coordinate; of none, an empty point. */
export const centroid = (points: readonly Point[]): number[] =>
  (points[0] ?? []).map((_, k) => points.reduce((sum, x) => sum + x[k], 0) / points.length);

/** Points less their mean and over their population deviation, coordinate by coordinate; a deviation of 0 counts as 1. */
export function standardised(points: readonly Point[]): number[][] {
  const mean = centroid(points);
  const scale = mean.map((m, k) => {
    const variance = points.reduce((sum, x) => sum + (x[k] - m) * (x[k] - m), 0) / points.length;
    return variance > 0 ? Math.sqrt(variance) : 1;
  });
  return points.map((x) => x.map((value, k) => (value - mean[k]) / scale[k]));
}

/**
 * Density clusters (DBSCAN): points with at least `least` points within `eps` (themselves included, the bound too) and
 * what these reach. Lists of indices; noise is in none, a border point in the first cluster that reaches it.
 */
export function dbscan(points: readonly Point[], eps: number, least: number): number[][] {
  const near = points.map((a) => points.flatMap((b, j) => (distance(a, b) <= eps ? [j] : [])));
  const label = points.map(() => -1);
  const clusters: number[][] = [];
  points.forEach((_, start) => {
    if (label[start] >= 0 || near[start].length < least) return;
    const own: number[] = [];
    const stack = [start];
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      if (label[i] >= 0) continue;
      label[i] = clusters.length;
      own.push(i);
      if (near[i].length >= least) stack.push(...near[i].filter((j) => label[j] < 0));
    }
    clusters.push(own.sort((a, b) => a - b));
  });
  return clusters;
}
