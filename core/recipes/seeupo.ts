import { choice, defineRecipe, flag, number } from "../recipe.ts";
import { centred, keepSingles } from "../rl/baseline.ts";
import type { Context } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { listsOf, nested, unnest } from "../rl/nested.ts";
import type { Vec } from "../rl/vec.ts";

interface Turn {
  turn: number;
  logp_old: number[][];
  logp: number[][];
  logp_new: number[][];
}

interface Clips {
  eps_lo: number;
  eps_hi: number;
  adv_clip_lo: number;
  adv_clip_hi: number;
  batch_norm: boolean;
  adv_clamp: number;
}

/** R − the group's mean, normalised over the episodes that have this turn, and clamped. */
function normalised(centre: Vec, there: Vec, p: Clips): Vec {
  if (!p.batch_norm) return centre.clamp(-p.adv_clamp, p.adv_clamp);
  const offset = centred(centre, ALL, there);
  const std = centre.stdOver(ALL, { ddof: 1, weight: there });
  return std.gt(1e-6).where(offset.div(std), offset).clamp(-p.adv_clamp, p.adv_clamp);
}

/** One turn's update: its advantage, loss and derivative, and the ratio that the turns before it will see. */
function update(c: Context, { turn, ...lp }: Turn, centre: Vec, before: Vec, p: Clips) {
  const old = nested(c, "logp_old", lp.logp_old, { depth: 2 });
  const within = { within: old.levels, depth: 2 };
  const logp = nested(c, "logp", lp.logp, { ...within, differentiate: true }).vec;
  const after = nested(c, "logp_new", lp.logp_new, within).vec;
  const [row, token] = old.levels;
  const over = (x: Vec): Vec => c.lift(row, x.values());
  const there = c.number(1, token).sumOver(row).gt(0);
  const carried = over(before);
  const advantage = normalised(over(centre), there, p).mul(carried).mul(there);
  const s = logp.sub(old.vec).meanOver(row).exp();
  const low = Math.max(0, 1 - p.eps_lo);
  const loss = s
    .surrogate(advantage, low, 1 + p.eps_hi)
    .neg()
    .meanOver(ALL, there);
  const [dlogp] = gradients(loss, [logp]);
  const [least, most] = [1 - p.adv_clip_lo, 1 + p.adv_clip_hi];
  const moved = after.sub(old.vec).meanOver(row).clamp(-10, 10).exp().clamp(least, most);
  const ratio = there.where(carried.mul(moved).clamp(least, most), carried);
  const result = {
    turn,
    advantage: [...advantage.values()],
    loss: loss.value(),
    dlogp: unnest(old.levels, dlogp),
    ratio_after: [...ratio.values()],
  };
  return { result, ratio: c.lift(c.trajectory, ratio.values()) };
}

export default defineRecipe({
  id: "seeupo",
  paper: {
    title: "SeeUPO: Sequence-Level Agentic-RL with Convergence Guarantees",
    arxiv: "2602.06554",
    source: "github modelscope/AgentEvolver beyondagent/module/trainer/ba_ray_trainer.py",
  },
  stage: ["advantage", "objective", "update"],
  describe: `The turns of an episode are updated one after the other, the last first; the advantage that a turn sees is
multiplied by how the turns already updated have moved (sequence ratios, clipped), which makes it backward induction.
Outputs one record a turn, as its log-probabilities are taken before, at and after the update. Sequence-level clip as in
GSPO; the k3 penalty of the released run is left out. An episode without the turn has an empty row and no part in it.`,
  formula:
    "A_k = clamp(z_batch(R − mean_g))·M; loss = mean_i max(−sA, −clip(s)A), s = e^mean(lp − lp_old); M ← clip(M·clip(s_new))",
  params: {
    order: choice("reverse", ["reverse", "forward"], "which turn is updated first: the last or the first"),
    adv_clip_lo: number(0.2, "clip range of the carried ratio below 1", { min: 0, max: 1 }),
    adv_clip_hi: number(0.2, "and above", { min: 0 }),
    eps_lo: number(0.2, "clip range of the loss below 1", { min: 0, max: 1 }),
    eps_hi: number(0.2, "and above", { min: 0 }),
    batch_norm: flag(true, "whether advantages are normalised over the turn's rows"),
    adv_clamp: number(3, "bound of the advantage before the ratio", { min: 0 }),
  },
  fields: { turns: "raw" },
  outputs: (c, p) => {
    const turns = [...listsOf<Turn>(c, "turns")].sort((a, b) =>
      p.order === "reverse" ? b.turn - a.turn : a.turn - b.turn,
    );
    const centre = keepSingles(c.reward, c.group, centred(c.reward, c.group));
    let ratio = c.number(1, c.trajectory);
    const results = turns.map((turn) => {
      const done = update(c, turn, centre, ratio, p);
      ratio = done.ratio;
      return done.result;
    });
    return { turns: results, order: turns.map(({ turn }) => turn) };
  },
  trains: {
    refuse: "needs updates turn by turn: supply turns, each with logp_old, logp and logp_new of every episode",
  },
});
