import { choice, defineRecipe, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";

interface Bonuses {
  episodic: number[][];
  global: number[][];
}

/** First visit in the episode, and 1/sqrt(visits ever); counts hold the visits so far and are moved on. */
function counted(episodes: readonly (readonly number[])[], counts: number[]): Bonuses {
  const episodic: number[][] = [];
  const global: number[][] = [];
  for (const episode of episodes) {
    episodic.push(episode.map((s, t) => (episode.indexOf(s) === t ? 1 : 0)));
    global.push(
      episode.map((s) => {
        while (counts.length <= s) counts.push(0);
        counts[s]++;
        return 1 / Math.sqrt(counts[s]);
      }),
    );
  }
  return { episodic, global };
}

/** φᵀC⁻¹φ before each step's own update, C⁻¹ = I/ridge at the start of an episode. */
function elliptical(features: readonly (readonly number[])[], ridge: number): number[] {
  const size = features[0]?.length ?? 0;
  const inverse = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => (i === j ? 1 / ridge : 0)),
  );
  return features.map((phi) => {
    const u = inverse.map((row) => row.reduce((sum, x, j) => sum + x * phi[j], 0));
    const bonus = phi.reduce((sum, x, i) => sum + x * u[i], 0);
    inverse.forEach((row, i) => {
      row.forEach((_, j) => {
        row[j] -= (u[i] * u[j]) / (1 + bonus);
      });
    });
    return bonus;
  });
}

const counts = (c: Context): number[] => [...(c.state["global_count"] as number[])];

export default defineRecipe({
  id: "global-episodic-bonus",
  paper: {
    title: "A Study of Global and Episodic Bonuses for Exploration in Contextual MDPs",
    source: "repo facebookresearch/e3b",
  },
  stage: ["reward", "theory"],
  describe: `Exploration bonuses for environments that change every episode: one within the episode times one over all of
them. By counts where states have numbers (episodes), else elliptical times the difference of novelty (features,
rnd_error). Outputs the raw bonus; dividing by its running deviation, the encoder and the learner are left out.
State: global_count, the visits of each state over all episodes.`,
  formula: "b = 1[N_e(s) = 1]/sqrt(N(s)), or φᵀC⁻¹φ·max(e_{t+1} − noveld_alpha·e_t, 0)",
  params: {
    episodic: choice("first-visit", ["first-visit"], "episodic bonus by counts"),
    global: choice("1/sqrt(N)", ["1/sqrt(N)"], "global bonus by counts"),
    combine: choice("mult", ["mult", "sum"], "product, or the weaker sum"),
    ridge: number(0.1, "C is ridge·I at the start of an episode", { min: 1e-9 }),
    noveld_alpha: number(0.1, "share of the state's own novelty that is taken off"),
  },
  fields: { episodes: "raw", features: "raw", rnd_error: "raw" },
  trains: { refuse: "needs an environment with states: supply episodes (state numbers), or features and rnd_error" },
  state: {
    init: () => ({ global_count: [] }),
    update: (c) => {
      const global_count = counts(c);
      if (c.hasRaw("episodes")) counted(c.raw("episodes"), global_count);
      return { global_count };
    },
  },
  outputs: (c, p) => {
    const { episodic, global } = c.hasRaw("episodes")
      ? counted(c.raw("episodes"), counts(c))
      : {
          episodic: c.raw<number[][][]>("features").map((steps) => elliptical(steps, p.ridge)),
          global: c
            .raw<number[][]>("rnd_error")
            .map((e) => e.slice(1).map((next, t) => Math.max(next - p.noveld_alpha * e[t], 0))),
        };
    const join = (a: number, b: number): number => (p.combine === "mult" ? a * b : a + b);
    return { episodic, global, bonus: episodic.map((row, k) => row.map((x, t) => join(x, global[k][t]))) };
  },
});
