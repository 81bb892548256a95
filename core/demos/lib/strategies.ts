/**
 * @file Prompts that a policy cannot tell apart within a class, and strategies of which each solves some: what is learned
 * on one prompt is played on all of its class, so that coverage (pass@k) and accuracy (pass@1) pull apart.
 */

import { meanOf, passAt } from "./bandit.ts";
import { draws, entropyOf, normal, type Rollout, Tabular } from "./tabular.ts";

export interface Strategies {
  policy: Tabular;
  prompts: number;
  reward(rollout: Rollout): number;
  /** exact chance of success of each prompt */
  success(): number[];
  passAt(k: number): number;
  /** mean over classes, nats */
  entropy(): number;
}

/**
 * @param solves chance that strategy v solves a prompt, by rank v = 0, 1, …
 * @param spread deviation of the first logits: how unequal the first probabilities are
 */
export function strategies(given: {
  seed: number;
  classes: number;
  perClass: number;
  answers: number;
  spread: number;
  solves(v: number): number;
}): Strategies {
  const { seed, classes, perClass, answers: V } = given;
  const prompts = classes * perClass;
  const policy = new Tabular({
    prompts,
    vocabulary: V,
    rows: classes,
    features: (q) => [Math.floor(q / perClass)],
  });
  const random = draws(seed, 0, 1);
  for (let k = 0; k < policy.logits.length; k++) policy.logits[k] = given.spread * normal(random);
  const right = Array.from({ length: prompts }, () => {
    const set = new Set<number>();
    for (let v = 0; v < V; v++) if (random.uniform() < given.solves(v)) set.add(v);
    // A prompt that nothing solves would only dilute every measure.
    if (set.size === 0) set.add(random.below(V));
    return set;
  });
  const success = () => right.map((set, q) => policy.answers(q).reduce((sum, p, v) => sum + (set.has(v) ? p : 0), 0));
  return {
    policy,
    prompts,
    success,
    reward: ({ prompt, tokens }) => Number(right[prompt].has(tokens[0])),
    passAt: (k) => passAt(success(), k),
    entropy: () => meanOf(Array.from({ length: classes }, (_, c) => entropyOf(policy.next(c * perClass, [])))),
  };
}
