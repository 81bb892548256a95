import { defineRecipe, integer, number } from "../recipe.ts";
import { logSoftmax } from "../rl/entropy.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { nested, unnest } from "../rl/nested.ts";

const LOG_TWO_PI = 1.8378770664093453;

export default defineRecipe({
  id: "pmoe",
  paper: {
    title: "Probabilistic Mixture-of-Experts for Efficient Deep Reinforcement Learning",
    arxiv: "2104.09122",
  },
  stage: ["policy", "update"],
  describe: `A mixture of Gaussian primitives as policy, its gate trained towards the primitive whose own action has the largest Q,
since sampling a primitive is not differentiable. Here the numeric part: gate loss and its derivative by mix_logits, policy
loss with the gate loss in it, density of the mixture (untransformed). Q and log-probabilities of each primitive's action
are given; critics, temperature and the PPO variant are left out. Ties: the first. Identical primitives still get a one-hot gate.`,
  formula: "k* = argmax_k Q_k; loss = mean(alpha·logp_k* − Q_k*) + mean_{i,k} (w_k − [k = k*])²",
  params: {
    alpha: number(0.2, "temperature of the entropy term", { min: 0 }),
    primitives: integer(3, "primitives of the mixture (told by the batch)", { min: 1 }),
  },
  fields: {
    mix_logits: "raw",
    mean: "raw",
    log_std: "raw",
    action: "raw",
    q: "raw",
    logp_primitive: "raw",
    reward: "raw",
  },
  outputs: (c, p) => {
    const logits = nested(c, "mix_logits", c.raw<number[][]>("mix_logits"), { differentiate: true, depth: 2 });
    const [row, primitive] = logits.levels;
    const given = (name: string) => nested(c, name, c.raw<number[][]>(name), { within: logits.levels, depth: 2 }).vec;
    const [q, logp] = [given("q"), given("logp_primitive")];
    const logw = logSoftmax(logits.vec, row);
    const place = c.graph.full(primitive, 1).positionOver(row);
    const best = q.eq(q.maxOver(row)).where(place, Number.MAX_VALUE).minOver(row);
    const chosen = place.eq(best);
    const mixLoss = logw.exp().sub(chosen).square().meanOver(ALL);
    const policy = logp.mul(p.alpha).sub(q).mul(chosen).sumOver(row).meanOver(ALL);

    const mean = nested(c, "mean", c.raw<number[][][]>("mean"), { within: logits.levels, depth: 3 });
    const [, , axis] = mean.levels;
    const logStd = nested(c, "log_std", c.raw<number[][][]>("log_std"), { within: mean.levels, depth: 3 }).vec;
    const action = nested(c, "action", c.raw<number[][]>("action"), { depth: 2, within: [row] });
    if (c.raw<number[][]>("action").some((a, i) => a.length !== c.raw<number[][][]>("mean")[i][0].length)) {
      c.refuse("pmoe: an action has other dimensions than its primitives' means", "give both one number a dimension");
    }
    const start = c.graph.constant(row, (action.levels[1].edge(row).offsets as Int32Array).subarray(0, row.size));
    const at = action.vec.gather(start.to(axis).add(c.graph.full(axis, 1).positionOver(primitive)));
    const z = at.sub(mean.vec).div(logStd.exp());
    const density = z
      .square()
      .mul(-0.5)
      .sub(logStd)
      .sub(LOG_TWO_PI / 2)
      .sumOver(primitive);
    return {
      weight: unnest(logits.levels, logw.exp()),
      best: [...best.values()],
      mix_loss: mixLoss.value(),
      dmix_logits: unnest(logits.levels, gradients(mixLoss, [logits.vec])[0]),
      policy_loss: policy.add(mixLoss).value(),
      logp_mixture: [...logw.add(density).logSumExpOver(row).values()],
    };
  },
  trains: { refuse: "needs a policy class of Gaussian primitives with critics: replay it on their outputs" },
});
