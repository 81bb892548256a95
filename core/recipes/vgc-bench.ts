import { anything, defineRecipe, number } from "../recipe.ts";
import { maximin } from "../rl/game.ts";
import { listsOf } from "../rl/nested.ts";

const WORTH: Readonly<Record<string, number>> = { win: 1, loss: -1 };

export default defineRecipe({
  id: "vgc-bench",
  paper: {
    title: "A Benchmark for Generalizing Across Diverse Team Strategies in Competitive Pokémon",
    source: "github cameronangliss/VGC-Bench vgc_bench/src/callback.py",
  },
  stage: ["pipeline", "sampler", "application"],
  describe: `Not a policy-gradient step: whom a game agent plays against while PPO trains it. A new policy enters the matrix of
win rates (half against itself); double oracle draws opponents from its max-min mixture, fictitious play evenly, last-self
takes the newest. Outputs the mixtures before and after, and rewards of battles. Playing, cloning and PPO are left out.`,
  formula: "p = argmax_p min_b Σ_a p_a M_ab; M' = [[M, 1 − w], [w, ½]]",
  params: {
    gamma: number(1, "discount of PPO (the trainer's)", { min: 0, max: 1 }),
    reward: anything("+1 win, -1 loss, 0 otherwise, on the last step only", "in words, the reward of a battle"),
  },
  fields: { payoff: "raw", win_rates_of_new: "raw", battle_outcome: "raw" },
  outputs: (c) => {
    const payoff = listsOf<number[]>(c, "payoff");
    const rates = listsOf<number>(c, "win_rates_of_new");
    if (rates.length !== payoff.length)
      c.refuse(`vgc-bench: ${rates.length} win rates against ${payoff.length} policies`, "give one each");
    const after = [...payoff.map((row, a) => [...row, 1 - rates[a]]), [...rates, 0.5]];
    const best = maximin(after);
    const reward = c.hasRaw("battle_outcome")
      ? c.raw<string[]>("battle_outcome").map((end) => WORTH[end] ?? 0)
      : undefined;
    return {
      meta_before: maximin(payoff).mixture,
      payoff_after: after,
      meta_after: best.mixture,
      value_after: best.value,
      fictitious_play: after.map(() => 1 / after.length),
      last_self: after.map((_, a) => (a === after.length - 1 ? 1 : 0)),
      ...(reward ? { reward } : {}),
    };
  },
  trains: { refuse: "needs a two-player game and saved opponents: supply payoff and win_rates_of_new" },
});
