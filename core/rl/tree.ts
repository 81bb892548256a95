/**
 * @file Trees of sampled segments: values from the leaves up, advantages of edges.
 */

export interface TreeNode {
  id: string | number;
  /** Of a leaf. */
  reward?: number;
  children?: readonly TreeNode[];
}

export interface TreeEdge {
  parent: string | number;
  child: string | number;
  advantage: number;
  /** The child's. */
  value: number;
  /** Whether the child has no children. */
  leaf: boolean;
}

const isLeaf = (node: TreeNode): boolean => (node.children ?? []).length === 0;

/** The reward of a leaf, else the mean of the children's values. */
export function nodeValue(node: TreeNode): number {
  const children = node.children ?? [];
  if (children.length === 0) return node.reward ?? 0;
  return children.reduce((sum, child) => sum + nodeValue(child), 0) / children.length;
}

/** How likely the best of four is right, for a share v of right ones. */
const bestOfFour = (v: number): number => 1 - (1 - v) * (1 - v) * (1 - v) * (1 - v);

/**
 * Edges with V(child) − V(parent), a parent's before those below it (SPO, arXiv 2505.23564).
 *
 * @param options normalise: over the population deviation of the siblings' values + 1e-8; drop: leave out edges whose
 *   advantage and change of best-of-four sum to 0
 */
export function edgesOf(root: TreeNode, options: { normalise: boolean; drop: boolean }): TreeEdge[] {
  const children = root.children ?? [];
  const base = nodeValue(root);
  const values = children.map(nodeValue);
  const variance = values.reduce((sum, v) => sum + (v - base) * (v - base), 0) / Math.max(1, values.length);
  const scale = options.normalise ? Math.sqrt(variance) + 1e-8 : 1;
  return children.flatMap((child, k) => {
    const value = values[k];
    const advantage = (value - base) / scale;
    const informative = Math.abs(advantage + bestOfFour(value) - bestOfFour(base)) >= 1e-12;
    const own = { parent: root.id, child: child.id, advantage, value, leaf: isLeaf(child) };
    return [...(informative || !options.drop ? [own] : []), ...edgesOf(child, options)];
  });
}
