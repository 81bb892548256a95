import { anything, choice, defineRecipe, type Param } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { type Moments, runningMoments } from "../rl/tracker.ts";

type Source = "batch" | "group" | "running" | null;

const from = (doc: string): Param<Source> => ({
  ...choice(
    "running",
    ["batch", "group", "running"],
    `${doc}: of the batch, the group, all seen so far; null: nothing`,
  ),
  default: null,
  nullable: true,
});

const seen = (c: Context): Moments => {
  const present = c.present("reward").values();
  return runningMoments(
    c.state as unknown as Moments,
    c.givenReward.values().filter((_, i) => present[i] !== 0),
  );
};

export default defineRecipe({
  id: "reward-norm-running",
  paper: { title: "ROLL norm_mean_type / norm_std_type", source: "alibaba/ROLL@8eb27cc roll/utils/functionals.py" },
  stage: ["reward"],
  describe: `GRPO on a reward that is centred and scaled first, each by statistics of the group, of the batch, or of
everything seen so far (running). The running moments take in the batch before they are used, whatever mean and std
are.`,
  formula: "R' = (R − μ)/(σ + 1e-6); std null: R − μ; running: Chan's update of mean and variance, σ with n − 1",
  params: {
    mean: from("what is taken off"),
    std: from("what divides"),
    initial: anything<Moments>({ mean: 0, std: 1, var: 1, count: 1e-24 }, "moments before the first batch"),
  },
  state: {
    init: (p) => ({ ...p.initial }),
    update: (c) => ({ ...seen(c) }),
  },
  reward: (c, p) => {
    const running = seen(c);
    const level = { batch: c.all, group: c.group };
    const { mean, std } = p;
    const present = c.present("reward");
    const centre = mean === null ? 0 : mean === "running" ? running.mean : c.reward.meanOver(level[mean], present);
    const shifted = c.reward.sub(centre).mul(present);
    if (std === null) return { reward: shifted, present };
    const spread =
      std === "running" ? c.number(running.std) : c.reward.stdOver(level[std], { ddof: 1, weight: present });
    return { reward: shifted.div(spread.add(1e-6)), present };
  },
});
