/**
 * @file Prompts whose answers are single tokens, one of them right, from a given chance: the task of most tabular
 * demonstrations.
 */
import { log, pow } from "../../rl/scalar.ts";
import type { Stream } from "../../rng.ts";
import type { Visit } from "./learner.ts";
import { draws, normal, type Rollout, Tabular } from "./tabular.ts";

export interface Bandit {
  policy: Tabular;
  /** the right answer of each prompt */
  right: readonly number[];
  reward(rollout: Rollout): number;
}

/**
 * @param success chance of the right answer of prompt q before training, between 0 and 1; the other answers share the rest
 *   with weights e^(0.5·normal)
 */
export function bandit(given: { prompts: number; answers: number; seed: number; success(q: number): number }): Bandit {
  const { prompts, answers: V } = given;
  const policy = new Tabular({ prompts, vocabulary: V });
  const right: number[] = [];
  for (let q = 0; q < prompts; q++) {
    const random = draws(given.seed, q, 1);
    right.push(random.below(V));
    for (let v = 0; v < V; v++) policy.logits[q * V + v] = 0.5 * normal(random);
    setChance(policy, q, right[q], given.success(q));
  }
  return { policy, right, reward: ({ prompt, tokens }) => Number(tokens[0] === right[prompt]) };
}

/** Moves one answer's logit so that it has the given probability. */
export function setChance(policy: Tabular, q: number, answer: number, chance: number): void {
  const p = policy.answers(q)[answer];
  policy.logits[q * policy.shape.vocabulary + answer] += log(chance / (1 - chance)) - log(p / (1 - p));
}

/** Success of each prompt, exactly. */
export const successes = ({ policy, right }: Pick<Bandit, "policy" | "right">): number[] =>
  right.map((answer, q) => policy.answers(q)[answer]);

export const meanOf = (x: readonly number[]): number =>
  x.length === 0 ? Number.NaN : x.reduce((a, b) => a + b, 0) / x.length;

/** pass@k of prompts with these chances of success. */
export const passAt = (chances: readonly number[], k: number): number => meanOf(chances.map((p) => 1 - pow(1 - p, k)));

/** `count` different prompts of the pool, the same number of rollouts each. */
export function uniformly(random: Stream, pool: number, count: number, rollouts: number): Visit[] {
  const order = random.shuffle(Array.from({ length: pool }, (_, q) => q));
  return order.slice(0, count).map((prompt) => ({ prompt, rollouts }));
}

export { betaDraw, weighted } from "../../draws.ts";

/** Whether all rewards of each group are equal, by group. */
export function flatGroups(group: readonly number[], reward: ArrayLike<number>): boolean[] {
  const first = new Map<number, number>();
  const flat: boolean[] = [];
  group.forEach((g, i) => {
    if (!first.has(g)) {
      first.set(g, reward[i]);
      flat[g] = true;
    } else if (first.get(g) !== reward[i]) flat[g] = false;
  });
  return flat;
}
