/**
 * @file A whole run, and the loop over its steps: folder, checkpoints, evaluations, what it tells on its way. What a step is
 * depends on what is learned from: rollouts (train/rollouts.ts) or a data set (train/dataset.ts). No algorithm inside: what a
 * recipe decides reaches the model as dlogp and dentropy, one number a token.
 *
 *   prompts → rollouts → rewards → prepare (advantages) → for each optimiser step: objective → backward → AdamW
 *   examples → reference scores → prepare → score → objective → backward → AdamW
 */
import type { TrainHooks, TrainResult } from "./api.ts";
import { describeConfig, type TrainConfig } from "./config.ts";
import type { DataSource } from "./data/source.ts";
import type { Device } from "./device.ts";
import { CohortError } from "./errors.ts";
import type { EvalResult } from "./evaluate.ts";
import { NOTHING_TO_LEARN } from "./log.ts";
import type { State } from "./recipe.ts";
import { openRun, type Run } from "./run.ts";
import type { TaskSource } from "./tasks/index.ts";
import { DataTrainer } from "./train/dataset.ts";
import type { Learner } from "./train/learner.ts";
import type { Runtime } from "./train/model.ts";
import { Trainer } from "./train/rollouts.ts";

export { DataTrainer, evaluateData, readsBeyondData } from "./train/dataset.ts";
export { openModel, promptIds, type Runtime } from "./train/model.ts";
export { estimateMemory, evaluate, readsBeyondRollouts, Trainer } from "./train/rollouts.ts";

const ON_POLICY =
  "the loss of the first step is 0 by construction: on-policy every ratio is 1 and the advantages of a group sum to 0. " +
  "Its gradient is not 0: that is what learns. Watch the reward, not the loss";

/** So many first steps without two different rewards in any group are told. */
const ALIKE_STEPS = 3;

/** Whether work failed for its device: what it computed is gone, and the same work on another one has the same bits. */
export function isDeviceLoss(error: unknown, device: Device): boolean {
  return Boolean(device.fault) || (error instanceof CohortError && error.code === "device");
}

/** A whole run, as the configuration says; see `TrainHooks` for what it tells on its way. */
export async function train(
  config: TrainConfig,
  source: TaskSource | DataSource,
  runtime: Runtime,
  hooks: TrainHooks = {},
): Promise<TrainResult> {
  const began = runtime.clock();
  const trainer =
    "examples" in source
      ? await DataTrainer.create(config, source, runtime)
      : await Trainer.create(config, source, runtime);
  try {
    const run = await openRun(runtime.storage, config);
    try {
      return await loop(trainer, run, runtime, hooks, began);
    } finally {
      run.close();
    }
  } finally {
    trainer.close();
  }
}

async function loop(
  trainer: Learner,
  run: Run,
  runtime: Runtime,
  hooks: TrainHooks,
  began: number,
): Promise<TrainResult> {
  const { config, session } = trainer;
  const { storage } = runtime;
  const evaluations: { before: EvalResult | null; after: EvalResult | null } = { before: null, after: null };
  const checkpoint = () =>
    run.checkpoint(trainer.step, async (dir) => {
      await session.saveState(storage, dir, {
        step: trainer.step,
        warmSteps: trainer.warmSteps,
        cursor: trainer.cursor,
        tokens: trainer.tokens,
        recipe: config.recipe,
        recipeState: trainer.state ?? null,
        ...trainer.save(),
      });
      await trainer.saveFiles(storage, dir);
      await trainer.policyReference.saveFiles(storage, dir);
    });
  const evaluateAt = async (when: "before" | "after" | number) => {
    if (config.evalPrompts === 0) return null;
    const result = await trainer.evaluate();
    await run.appendEvaluation({
      ...result,
      step: trainer.step,
      when: typeof when === "number" ? "during" : when,
    });
    hooks.onEval?.(when, result);
    return result;
  };
  const start = () =>
    hooks.onStart?.({
      run: run.dir,
      config: run.config,
      derived: describeConfig(config),
      device: runtime.device.name,
      parameters: session.model.all.reduce((n, p) => n + p.size, 0),
      trainable: session.model.trainable.reduce((n, p) => n + p.size, 0),
      memory: trainer.memory(),
      ...(run.resumed && { resumedAt: run.resumed.step }),
    });

  if (run.resumed) {
    const state = await session.loadState(storage, run.resumed.dir);
    trainer.step = state.step as number;
    trainer.warmSteps = state.warmSteps as number;
    trainer.cursor = state.cursor as number;
    trainer.tokens = state.tokens as number;
    trainer.state = (state.recipeState as State | null) ?? undefined;
    await trainer.restore(state, storage, run.resumed.dir);
    const lines = await run.evaluations();
    for (const known of ["before", "after"] as const) {
      const line = lines.find((e) => e.when === known);
      if (!line) continue;
      const { step: _step, when: _when, ...result } = line;
      evaluations[known] = result as EvalResult;
    }
  }
  start();
  for (const note of run.notes) hooks.onNote?.(note);
  await trainer.warmStart(hooks);
  if (!hooks.signal?.aborted) {
    await trainer.settleReference(`${run.dir}/reference`, run.resumed?.dir);
    if (trainer.step === 0 && !evaluations.before) evaluations.before = await evaluateAt("before");
  }

  let saved = run.resumed && trainer.step > 0 ? trainer.step : -1;
  let kept = run.resumed?.dir ?? "";
  let interrupted = hooks.signal?.aborted ?? false;
  // First steps in which no group taught anything.
  let alike = trainer.step === 0 ? 0 : Number.NEGATIVE_INFINITY;
  try {
    while (trainer.step < config.steps && !interrupted) {
      await hooks.beforeStep?.(trainer.step + 1);
      if (hooks.signal?.aborted) {
        interrupted = true;
        break;
      }
      const done = await trainer.trainStep().catch((error) => {
        // Whoever stops a run waits for no reward: the step is lost, what was there before it is kept.
        const lost = hooks.signal?.aborted && error instanceof CohortError && error.code === "bad-reward";
        if (!lost) throw error;
        hooks.onNote?.(`step ${trainer.step + 1} is given up: ${error.message}`);
        return null;
      });
      if (!done) {
        interrupted = true;
        break;
      }
      const { metrics, lines } = done;
      trainer.policyReference.follow(trainer.step);
      if (trainer.step === 1 && Math.abs(metrics.loss ?? 1) < 1e-6 && metrics.grad_norm !== 0)
        hooks.onNote?.(ON_POLICY);
      // Baselines beyond the group learn from equal rewards too: the gradient decides.
      const idle = metrics.frac_reward_zero_std === 1 && metrics.grad_norm === 0;
      alike = idle ? alike + 1 : Number.NEGATIVE_INFINITY;
      // One such step is by chance where groups have more than one member.
      const alone = config.rolloutsPerPrompt === 1;
      if (alike === (alone ? 1 : ALIKE_STEPS))
        hooks.onNote?.(
          alone
            ? `nothing was learned: rolloutsPerPrompt is 1, and a group of one differs from nobody; set it to 2 or more, or take a recipe with a baseline beyond the group`
            : `nothing was learned in the first ${ALIKE_STEPS} steps: ${NOTHING_TO_LEARN}`,
        );
      await run.appendMetrics(metrics);
      await run.appendSamples(lines);
      hooks.onStep?.(metrics);
      interrupted = hooks.signal?.aborted ?? false;
      const last = trainer.step === config.steps;
      if (!last && config.evalEvery > 0 && trainer.step % config.evalEvery === 0) await evaluateAt(trainer.step);
      if (!last && config.checkpointEvery > 0 && trainer.step % config.checkpointEvery === 0) {
        kept = (await checkpoint()).dir;
        saved = trainer.step;
      }
    }
  } catch (error) {
    // What was computed is kept: the state before the failing step, unless it is on disk already.
    if (trainer.step > 0 && saved !== trainer.step && !isDeviceLoss(error, runtime.device)) {
      await checkpoint().then(
        ({ dir }) => hooks.onNote?.(`the state after step ${trainer.step} is kept in ${dir}`),
        (cause) => hooks.onNote?.(`no checkpoint could be written either: ${(cause as Error).message}`),
      );
    }
    throw error;
  }
  if (saved !== trainer.step) kept = (await checkpoint()).dir;
  // A run that was complete has been evaluated.
  if (!interrupted) evaluations.after ??= await evaluateAt("after");
  const lines = await run.metrics();
  const firstLast = (key: "reward" | "loss") => ({ first: lines[0]?.[key] ?? null, last: lines.at(-1)?.[key] ?? null });
  return {
    digest: await session.digest(),
    steps: trainer.step,
    seconds: (runtime.clock() - began) / 1000,
    reward: firstLast("reward"),
    loss: firstLast("loss"),
    eval: evaluations,
    run: run.dir,
    checkpoint: kept,
    interrupted,
  };
}
