import { defineRecipe, integer, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL } from "../rl/level.ts";
import { nested } from "../rl/nested.ts";
import { exp } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

/** KL(y‖yhat) and ‖yhat‖² of each cell of the grid, means over the grid. */
function targets(c: Context): { kl: Vec; square: Vec } {
  const y = nested(c, "y", c.raw("y"), { depth: 3 });
  const guess = nested(c, "y_hat", c.raw("y_hat"), { depth: 3, within: y.levels }).vec;
  const cell = y.levels[1];
  const kl = y.vec.mul(y.vec.log().sub(guess.log())).sumOver(cell);
  return { kl: kl.meanOver(ALL), square: guess.square().sumOver(cell).meanOver(ALL) };
}

/** Levels to replay, their probabilities, and those to overwrite (new ones first, running ones last). */
function curriculum(c: Context, temperature: number, batch: number): Record<string, unknown> {
  const protagonist = c.raw<number[]>("return_protagonist");
  const regret = c.raw<number[]>("return_antagonist").map((r, k) => r - protagonist[k]);
  const fresh = c.raw<boolean[]>("new");
  const running = c.raw<boolean[]>("active");
  const ready = regret.map((_, k) => k).filter((k) => !fresh[k] && !running[k]);
  const top = Math.max(...ready.map((k) => regret[k]));
  const weight = regret.map((r, k) => (ready.includes(k) ? exp((r - top) / temperature) : 0));
  const total = weight.reduce((a, b) => a + b, 0);
  const key = (k: number): number => (running[k] ? 1 : fresh[k] ? -1 : 0);
  return {
    regret,
    sampling_weight: weight.map((w) => (total > 0 ? w / total : 0)),
    selected_rank: [...ready].sort((a, b) => regret[b] - regret[a] || a - b).slice(0, batch),
    reset: regret
      .map((_, k) => k)
      .sort((a, b) => key(a) - key(b) || (key(a) === 0 ? regret[a] - regret[b] : 0) || a - b)
      .slice(0, batch),
  };
}

export default defineRecipe({
  id: "groove",
  paper: {
    title: "Discovering General Reinforcement Learning Algorithms with Adversarial Environment Design",
    source: "github EmptyJackson/groove meta/train.py, agents/lpg_agent.py, environments/level_sampler.py",
  },
  stage: ["sampler", "update", "theory"],
  describe: `The policy-gradient rule itself is learned, on levels chosen by how much a fixed A2C beats it (regret). This
is the agent's loss under that rule's outputs pi_hat and y_hat, the meta loss, and the choice of levels to replay and to
overwrite; the rule's network, its meta gradient through the agent's updates and the worlds are left out.`,
  formula: "loss = mean(ln π·π̂) + agent_target_coeff·mean KL(y‖ŷ); P(level) = softmax(regret/T)",
  params: {
    temperature: number(1, "of the draw of levels", { min: 1e-6 }),
    agent_target_coeff: number(0.5, "alpha_y, weight of the agent's targets"),
    beta0: number(0.05, "meta: the policy's entropy"),
    beta1: number(0.001, "meta: the targets' entropy"),
    beta2: number(0.005, "meta: mean pi_hat²"),
    beta3: number(0.001, "meta: mean ‖y_hat‖²"),
    batch: integer(1, "levels replayed, and overwritten", { min: 1 }),
  },
  fields: {
    return_antagonist: "raw",
    return_protagonist: "raw",
    new: "raw",
    active: "raw",
    pi: "raw",
    pi_hat: "raw",
    y: "raw",
    y_hat: "raw",
    meta: "raw",
  },
  trains: {
    refuse: "needs agents in generated worlds and a rule network: supply returns of both agents, pi_hat and y_hat",
  },
  outputs: (c, p) => {
    const pi = nested(c, "pi", c.raw("pi"), { depth: 2 });
    const rule = nested(c, "pi_hat", c.raw("pi_hat"), { depth: 2, within: pi.levels }).vec;
    const logp = c.graph.input(pi.vec.level, pi.vec.log().values());
    const { kl, square } = targets(c);
    const loss = logp.mul(rule).meanOver(ALL).add(kl.mul(p.agent_target_coeff));
    const [dlogp] = gradients(loss, [logp]).map((d) => d.values());
    const { offsets } = pi.levels[1].edge(pi.levels[0]);
    const rows = Array.from({ length: pi.levels[0].size }, (_, t) => [
      ...dlogp.subarray((offsets as Int32Array)[t], (offsets as Int32Array)[t + 1]),
    ]);
    const meta = c.raw<{ lpg_loss: number; policy_entropy: number; target_entropy: number }>("meta");
    const regular = rule.square().meanOver(ALL).mul(p.beta2).add(square.mul(p.beta3)).value();
    const meta_loss = meta.lpg_loss - p.beta0 * meta.policy_entropy - p.beta1 * meta.target_entropy + regular;
    return { ...curriculum(c, p.temperature, p.batch), loss: loss.value(), dlogp: rows, meta_loss };
  },
});
