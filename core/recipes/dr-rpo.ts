import { defineRecipe, integer, number } from "../recipe.ts";
import { dot, inverse, times } from "../rl/linear.ts";
import { exp, log } from "../rl/scalar.ts";

/** π_ref·e^(Q/η) normalised, and η·ln of the normaliser. */
function softPolicy(
  q: readonly number[],
  reference: readonly number[],
  eta: number,
): { policy: number[]; value: number } {
  const top = Math.max(...q);
  const mass = q.map((x, a) => reference[a] * exp((x - top) / eta));
  const sum = mass.reduce((a, b) => a + b, 0);
  return { policy: mass.map((x) => (sum > 0 ? x / sum : 0)), value: eta * log(sum) + top };
}

export default defineRecipe({
  id: "dr-rpo",
  paper: {
    title: "Policy Regularized Distributionally Robust Markov Decision Processes with Linear Function Approximation",
    arxiv: "2510.14246",
  },
  stage: ["theory", "objective", "policy"],
  describe: `No language model: one backward step of optimistic least-squares value iteration on linear features, with the
worst case over a total-variation ball around each feature's transition, and a softmax policy regularised to a reference.
Reconstruction from the abstract: the ball, the fail state of value 0 and all constants are ours. Radius 0 is the
non-robust algorithm.`,
  formula:
    "w_j = max_α [(Λ⁻¹Σφ·min(V', α))_j − rho·α]; Q = clip(r + φᵀw + bonus·Σφ_j sqrt(Λ⁻¹_jj), 0, H); π ∝ π_ref·e^(Q/eta), V = eta·ln Σ π_ref e^(Q/eta)",
  params: {
    rho: number(0.1, "radius of the ball", { min: 0 }),
    lambda_: number(1, "ridge of the least squares", { min: 0 }),
    bonus: number(0.1, "weight of the optimism", { min: 0 }),
    eta: number(0.5, "temperature: small is greedy, large the reference", { min: 1e-9 }),
    H: number(1, "horizon: largest value", { min: 0 }),
    alpha_grid: integer(21, "points of the grid over [0, H]", { min: 1 }),
  },
  fields: { phi: "raw", next_value: "raw", phi_query: "raw", reward: "raw", pi_ref: "raw" },
  trains: {
    refuse: "needs features of an environment with few states, no language model: supply phi, next_value, phi_query",
  },
  outputs: (c, p) => {
    const [phi, next] = [c.raw<number[][]>("phi"), c.raw<number[]>("next_value")];
    const [query, reward] = [c.raw<number[][][]>("phi_query"), c.raw<number[][]>("reward")];
    const columns = (query[0]?.[0] ?? []).map((_, j) => phi.map((row) => row[j]));
    const lambda = columns.map((x, i) => columns.map((y, j) => dot(x, y) + (i === j ? p.lambda_ : 0)));
    const inverted = inverse(lambda);
    const grid = Array.from({ length: p.alpha_grid }, (_, k) => (p.H * k) / Math.max(1, p.alpha_grid - 1));
    const worst = grid.map((alpha) => {
      const target = next.map((v) => Math.min(v, alpha));
      return times(
        inverted,
        columns.map((x) => dot(x, target)),
      ).map((z) => z - p.rho * alpha);
    });
    const best = columns.map((_, j) => worst.reduce((top, row, k) => (row[j] > worst[top][j] ? k : top), 0));
    const w = best.map((k, j) => worst[k][j]);
    const width = inverted.map((row, j) => Math.sqrt(Math.max(0, row[j])));
    const bonus = query.map((actions) => actions.map((f) => p.bonus * dot(f, width)));
    const q = query.map((actions, s) =>
      actions.map((f, a) => Math.max(0, Math.min(p.H, reward[s][a] + dot(f, w) + bonus[s][a]))),
    );
    const soft = q.map((row, s) => softPolicy(row, c.raw<number[][]>("pi_ref")[s], p.eta));
    const [policy, value] = [soft.map((x) => x.policy), soft.map((x) => x.value)];
    return { w, alpha_index: best, bonus, q, policy, soft_value: value };
  },
});
