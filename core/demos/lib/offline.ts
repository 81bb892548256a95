/** @file A fixed data set in place of rollouts: what the policy of a certain moment said, in every later step. */

import { streams } from "../../rng.ts";
import type { Completion } from "../../rollout.ts";
import type { Trainer } from "../../train.ts";

/**
 * From now on the trainer's rollouts of a prompt are those that the present policy gives it, `rolloutsPerPrompt` of each
 * prompt of the pool: their old log-probabilities stay, the present ones are asked for anew. Evaluations sample as ever.
 */
export async function freezeRollouts({ session, pool, config }: Trainer): Promise<void> {
  const fresh = session.sample.bind(session);
  const prompts = pool!.prompts.map((p) => p.ids);
  const random = { seed: config.seed, stream: streams.sample, step: 0 };
  const drawn = await fresh(prompts, config.rolloutsPerPrompt, config, random);
  const kept = new Map<string, Completion[]>(prompts.map((ids) => [ids.join(), []]));
  for (const completion of drawn) kept.get(prompts[completion.prompt].join())!.push(completion);
  session.sample = async (asked, counts, options, key, model) => {
    if (key.stream !== streams.sample) return fresh(asked, counts, options, key, model);
    const data = asked.flatMap((ids, prompt) => kept.get(Array.from(ids).join())!.map((c) => ({ ...c, prompt })));
    const sequences = data.map((c) => ({
      ids: [...Array.from(asked[c.prompt]), ...c.ids],
      from: asked[c.prompt].length,
    }));
    const { logp, entropy, offsets } = await session.score(sequences, { temperature: config.temperature });
    return data.map((c, k) => ({
      ...c,
      logpOld: c.logp,
      logp: logp.slice(offsets[k], offsets[k + 1]),
      entropy: entropy.slice(offsets[k], offsets[k + 1]),
    }));
  };
}
