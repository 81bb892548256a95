/** @file Whole groups of earlier steps, kept for later ones: what they said, what it earned, how likely it was then. */
import type { StepPrompt, Trajectory } from "./trajectories.ts";

interface Group {
  /** number of the offer that brought it */
  id: number;
  prompt: StepPrompt;
  trajectories: Trajectory[];
}

type Saved = Omit<Trajectory, "logp" | "entropy" | "logpOld"> & {
  logp: number[];
  entropy: number[];
  logpOld?: number[];
};

export class GroupBuffer {
  #groups: Group[] = [];

  get size(): number {
    return this.#groups.length;
  }

  get(id: number): Group | undefined {
    return this.#groups.find((g) => g.id === id);
  }

  put(group: Group): void {
    this.#groups.push(group);
  }

  /** Forgets all others. */
  keep(ids: ReadonlySet<number>): void {
    this.#groups = this.#groups.filter((g) => ids.has(g.id));
  }

  /** Plain JSON. */
  save(): unknown {
    const plain = (t: Trajectory): Saved => ({
      ...t,
      logp: [...t.logp],
      entropy: [...t.entropy],
      logpOld: t.logpOld && [...t.logpOld],
    });
    return this.#groups.map((g) => ({ ...g, trajectories: g.trajectories.map(plain) }));
  }

  restore(state: unknown): void {
    this.#groups = (state as { id: number; prompt: StepPrompt; trajectories: Saved[] }[]).map((g) => ({
      ...g,
      trajectories: g.trajectories.map((t) => ({
        ...t,
        logp: Float32Array.from(t.logp),
        entropy: Float32Array.from(t.entropy),
        ...(t.logpOld && { logpOld: Float32Array.from(t.logpOld) }),
      })) as Trajectory[],
    }));
  }
}
