import { anything, choice, defineRecipe, number } from "../recipe.ts";
import type { Context } from "../rl/context.ts";
import { gradients } from "../rl/grad.ts";
import { ALL, Level } from "../rl/level.ts";
import { nested, sameShape, unnest } from "../rl/nested.ts";
import { pow } from "../rl/scalar.ts";
import type { Vec } from "../rl/vec.ts";

interface Trajectory {
  states: number[];
  actions: number[];
  rewards: number[];
}

/** What one trajectory says of softmax logits theta (over states × actions): log p(τ), and Φ = Σ_t G_t·log π. */
function functionals(theta: Vec, state: Level, { states, actions, rewards }: Trajectory, gamma: number) {
  const { graph } = theta;
  const time = new Level("time", states.length);
  const first = theta.level.edge(state).offsets as Int32Array;
  const at = graph.constant(
    time,
    states.map((s, t) => first[s] + actions[t]),
  );
  const logp = theta.sub(theta.logSumExpOver(state)).gather(at);
  // Discounted from the start of the trajectory, not from the action: γ^h r_h.
  const discount = graph.full(time, gamma).pow(graph.full(time, 1).positionOver(ALL));
  const reward = graph.constant(time, rewards).mul(discount);
  return { logp: logp.sumOver(ALL), phi: reward.cumulate(ALL, "backward").mul(logp).sumOver(ALL) };
}

/** g(τ, θ) = ∇Φ, and with a direction u also B(τ, θ)u = (∇log p·u)∇Φ + ∇²Φ·u, by a derivative of ∇Φ·u. */
function estimate(c: Context, at: Vec, state: Level, trajectory: Trajectory, gamma: number, u?: Vec) {
  const theta = c.graph.input(at.level, at.values());
  const { logp, phi } = functionals(theta, state, trajectory, gamma);
  const [gradient] = gradients(phi, [theta]);
  if (!u) return gradient.stop();
  const [curved] = gradients(gradient.mul(u).sumOver(ALL), [theta]);
  const [score] = gradients(logp, [theta]);
  return score.mul(u).sumOver(ALL).mul(gradient).add(curved).stop();
}

export default defineRecipe({
  id: "npg-igt",
  paper: {
    title: "Stochastic Policy Gradient Methods: Improved Sample Complexity for Fisher-non-degenerate Policies",
    arxiv: "2302.01734",
  },
  stage: ["update", "theory"],
  describe: `Normalised policy-gradient steps with momentum from single trajectories: igt takes the gradient at an extrapolated
point, harpg corrects the momentum by a Hessian-vector product at a random point between the last two parameters (the
normalised form, N-HARPG). A tabular softmax policy and given trajectories; no group, no baseline, no ratio. Their
mini-batches and linear baseline are left out; the single-trajectory form is the paper's, from memory.`,
  formula: "igt: d = (1−η)d + η·g(θ + ((1−η)/η)Δ); harpg: d = (1−η)(d + B(θ̂)Δ) + η·g(θ); θ += s·d/‖d‖",
  params: {
    method: choice("igt", ["igt", "harpg"], "where the momentum's bias is removed"),
    gamma: number(0.99, "discount of a step", { min: 0, max: 1 }),
    eta: anything<number[] | null>(null, "momentum rates by step (null: (2/(t+2))^0.8 for igt, 2/(t+2) for harpg)"),
    step: anything<number[] | null>(null, "step lengths (null: s_0·2/(t+2))"),
    s_0: number(0.1, "first step length", { min: 0 }),
    policy: choice("tabular softmax", ["tabular softmax"], "what theta parametrises"),
  },
  fields: { theta: "raw", trajectories: "raw", trajectories_hat: "raw", q: "raw" },
  outputs: (c, p) => {
    const start = nested(c, "theta", c.raw<number[][]>("theta"));
    const [state] = start.levels;
    const corrected = p.method === "harpg";
    if (corrected) sameShape(c, 1, "trajectories", "trajectories_hat", "q");
    const q = corrected ? c.raw<number[]>("q") : [];
    const hat = corrected ? c.raw<Trajectory[]>("trajectories_hat") : [];
    let [theta, before] = [start.vec, start.vec];
    let direction = theta.mul(0);
    const path = c.raw<Trajectory[]>("trajectories").map((trajectory, t) => {
      const decay = 2 / (t + 2);
      const eta = p.eta?.[t] ?? (corrected ? decay : pow(decay, 0.8));
      const moved = theta.sub(before);
      const ahead = !corrected && t > 0 && eta > 0 ? theta.add(moved.mul((1 - eta) / eta)) : theta;
      const gradient = estimate(c, ahead, state, trajectory, p.gamma);
      if (t === 0) direction = gradient;
      else {
        const between = theta.mul(q[t] ?? 0).add(before.mul(1 - (q[t] ?? 0)));
        const turned = corrected ? direction.add(estimate(c, between, state, hat[t], p.gamma, moved)) : direction;
        direction = turned.mul(1 - eta).add(gradient.mul(eta));
      }
      const length = direction.square().sumOver(ALL).sqrt();
      before = theta;
      theta = theta.add(direction.div(length).mul(p.step?.[t] ?? p.s_0 * decay));
      return unnest(start.levels, theta);
    });
    return { theta_path: path, direction: unnest(start.levels, direction) };
  },
  trains: { refuse: "needs an optimiser that asks for trajectories at other parameters: replay it on given ones" },
});
