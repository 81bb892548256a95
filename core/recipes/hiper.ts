import { choice, defineRecipe, flag, number } from "../recipe.ts";
import { type Credits, hierarchicalGae } from "../rl/hierarchy.ts";

/** (x − mean)/(population deviation + 1e-8) over the chosen rows; the others stay 0. */
function standardised(x: readonly number[], chosen: readonly boolean[]): number[] {
  const own = x.filter((_, k) => chosen[k]);
  const mean = own.reduce((a, b) => a + b, 0) / Math.max(1, own.length);
  const variance = own.reduce((sum, v) => sum + (v - mean) * (v - mean), 0) / Math.max(1, own.length);
  return x.map((v, k) => (chosen[k] ? (v - mean) / (Math.sqrt(variance) + 1e-8) : 0));
}

export default defineRecipe({
  id: "hiper",
  paper: {
    title: "HiPER: Hierarchical Reinforcement Learning with Explicit Credit Assignment for Large Language Model Agents",
    arxiv: "2602.16165",
    source: "repo JonP07/HiPER-agent: hiper_hae/core_hae.py",
  },
  stage: ["policy", "advantage", "reward"],
  describe: `Agents that keep or switch a subgoal every turn. Three critics give a two-level GAE: actions within the segment
of a subgoal, subgoals over segments (semi-Markov), switches by what ending the segment is worth. Rows are turns; their
advantages go to the tokens of action, subgoal and switch. Penalties other than that for keeping are in the reward already.`,
  formula: "A_l: GAE in the segment, then V_h; A_h = R_seg + g^d·V_h′ − V_h + g^d·lam_seg·A_h′; A_z = Ret_z − V_z",
  params: {
    gamma: number(0.95, "discount of a turn (not given by the authors)", { min: 0, max: 1 }),
    lam_turn: number(0.95, "decay over turns", { min: 0, max: 1 }),
    lam_seg: number(0.95, "decay over segments", { min: 0, max: 1 }),
    keep_penalty: number(-0.3, "for keeping the subgoal"),
    keep_penalty_mode: choice(
      "normalized",
      ["normalized", "fixed"],
      "times the share of such turns over their number, or each",
    ),
    norm_adv: flag(true, "standardise each of the three sets"),
    bootstrap_truncated: flag(true, "a value beyond a cut-off end"),
  },
  fields: {
    trajectory: "trajectory",
    turn: "trajectory",
    switch: "trajectory",
    done: "trajectory",
    value_low: "trajectory",
    value_high: "trajectory",
    value_term: "trajectory",
  },
  trains: {
    refuse: "needs turns with subgoals and three critics: supply switch, done and value_low, value_high, value_term",
  },
  outputs: (c, p) => {
    const [episode, turn, switched] = ["trajectory", "turn", "switch"].map((name) => c.field(name).values());
    const zeros = (): number[] => new Array<number>(episode.length).fill(0);
    const out: Credits = {
      low: zeros(),
      high: zeros(),
      term: zeros(),
      returnLow: zeros(),
      returnHigh: zeros(),
      returnTerm: zeros(),
    };
    const boundary = zeros().map(() => false);
    const decays = { gamma: p.gamma, turn: p.lam_turn, segment: p.lam_seg, bootstrap: p.bootstrap_truncated };
    for (const id of new Set(episode)) {
      const rows = [...episode.keys()].filter((k) => episode[k] === id).sort((a, b) => turn[a] - turn[b]);
      const of = (name: string): number[] => rows.map((row) => c.field(name).values()[row]);
      const keeps = of("switch").map((flag) => flag === 0);
      const penalty =
        p.keep_penalty_mode === "fixed" ? p.keep_penalty : rows.length > 1 ? p.keep_penalty / rows.length : 0;
      const credits = hierarchicalGae(
        {
          reward: of("reward").map((r, j) => (keeps[j] ? r + penalty : r)),
          switched: keeps.map((keep) => !keep),
          done: of("done").map((flag) => flag !== 0),
          low: of("value_low"),
          high: of("value_high"),
          term: of("value_term"),
        },
        decays,
      );
      rows.forEach((row, j) => {
        boundary[row] = j === 0 || switched[row] !== 0;
        for (const name of Object.keys(out) as (keyof Credits)[]) out[name][row] = credits[name][j];
      });
    }
    const all = boundary.map(() => true);
    const scaled = (x: number[], chosen: boolean[]): number[] => (p.norm_adv ? standardised(x, chosen) : x);
    return {
      adv_action: scaled(out.low, all),
      adv_subgoal: scaled(out.high, boundary),
      adv_switch: scaled(out.term, all),
      ret_low: out.returnLow,
      ret_high: out.returnHigh,
      ret_term: out.returnTerm,
    };
  },
});
