/** @file A run that is stopped does not wait for ever on a reward: an app's own may ask a server that never answers. */
import { CohortError } from "../core/errors.ts";
import type { RewardSpec } from "../core/rewards/index.ts";

/** What rewards get to settle after a stop, ms. */
const GRACE = 5_000;

/** The source with rewards that are given up a while after `signal`; `close` when the run has ended. */
export function stoppable<T extends object>(
  source: T,
  signal: AbortSignal | undefined,
  grace = GRACE,
): { source: T; close(): void } {
  const rewards = "rewards" in source ? (source.rewards as readonly RewardSpec[]) : [];
  if (!signal || rewards.length === 0) return { source, close() {} };
  const waiting = new Set<() => void>();
  let over = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    timer = setTimeout(() => {
      over = true;
      for (const giveUp of waiting) giveUp();
    }, grace);
  };
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  const settled = (name: string, value: Promise<number | null>) =>
    new Promise<number | null>((resolve, reject) => {
      const giveUp = () =>
        reject(
          new CohortError(
            "bad-reward",
            `reward "${name}": nothing came of it in the ${grace / 1000} s after the run was stopped`,
            "give what asks a server a time limit of its own",
          ),
        );
      if (over) giveUp();
      waiting.add(giveUp);
      value.then(resolve, reject).finally(() => waiting.delete(giveUp));
    });
  const wrapped = rewards.map(
    (spec): RewardSpec => ({
      ...spec,
      fn(sample) {
        const value = spec.fn(sample);
        return value instanceof Promise ? settled(spec.name, value) : value;
      },
    }),
  );
  return {
    source: { ...source, rewards: wrapped },
    close() {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    },
  };
}
