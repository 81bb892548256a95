/**
 * @file Learning from others: demonstrations, and distillation. Divergences between rows over the vocabulary, and
 * rows cut to some of their entries.
 *
 * Rows are log-probabilities over the vocabulary level (or over tokens, for a bucket that stands for many entries).
 */
import type { Level } from "./level.ts";
import type { Vec } from "./vec.ts";

/** For `trains` of a loss on demonstrations. */
export const NEEDS_DEMONSTRATIONS = {
  data: "completions",
  refuse: "needs demonstrations, as rollouts of the policy are no targets: supply the completions of a data set",
} as const;

/** For `trains` of a loss on a teacher's log-probabilities of the sampled tokens: the reference policy's. */
export const NEEDS_TEACHER = { teacher: true } as const;

/** For `trains` of a loss on a teacher's whole distribution, on the student's own samples or on given completions. */
export const NEEDS_TEACHER_ROWS = { teacher: true, data: "completions" } as const;

/**
 * The terms of a divergence between student S and teacher T, to be summed over a row: alpha 0 KL(T‖S), alpha 1 KL(S‖T),
 * between (1−alpha)·KL(S‖M) + alpha·KL(T‖M) with M = (1−alpha)·S + alpha·T (generalised Jensen–Shannon, arXiv 2306.13649).
 */
export function divergence(student: Vec, teacher: Vec, alpha: number): Vec {
  const [s, t] = [student.exp(), teacher.exp()];
  if (alpha === 0) return t.mul(teacher.sub(student));
  if (alpha === 1) return s.mul(student.sub(teacher));
  const mixture = s
    .mul(1 - alpha)
    .add(t.mul(alpha))
    .log();
  const toStudent = s.mul(student.sub(mixture)).mul(1 - alpha);
  return toStudent.add(t.mul(teacher.sub(mixture)).mul(alpha));
}

/** ln Σ e^x over the entries with weight 1 in each segment; a segment without one has about −1e300. */
export function logSumExpWhere(x: Vec, level: Level, where: Vec): Vec {
  const top = where.where(x, -1e300).maxOver(level).stop();
  return where.where(x.sub(top), 0).exp().mul(where).sumOver(level).log().add(top);
}

/** ln(1 − Σ e^x) of the entries with weight 1: the bucket of all others. ln Σ is capped at −1e-7, without gradient there. */
export function tailLogp(logp: Vec, level: Level, where: Vec): Vec {
  return logSumExpWhere(logp, level, where).min(-1e-7).expm1().neg().log();
}
