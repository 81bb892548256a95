/** @file The bench's training step in PyTorch, in a process of its own that waits while it is not its turn. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ADAM, MAX_GRAD_NORM, NORM_EPS, type PeerStep, ROPE_THETA, type StepTask } from "./decoder.ts";

let told = false;

/** Null, after a line that says how to get it, where PyTorch is not installed. */
export async function torchStep({ shape, learningRate, sequences, weights }: StepTask): Promise<PeerStep | null> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const file = join(folder, "weights");
  const argument = JSON.stringify({
    ...{ ...shape, ...ADAM, learningRate },
    ...{ maxGradNorm: MAX_GRAD_NORM, normEps: NORM_EPS, ropeTheta: ROPE_THETA },
    ids: sequences.map((ids) => [...ids]),
    names: [...weights.keys()],
  });
  try {
    writeFileSync(
      file,
      Buffer.concat([...weights.values()].map(({ data }) => new Uint8Array(Float32Array.from(data).buffer))),
    );
    for (const command of ["/usr/bin/python3", "python3"]) {
      const child: ChildProcess = spawn(command, ["test/bench/torch-step.py", argument, file], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
      const first = await new Promise<string>((resolve) => {
        child.once("error", (error) => resolve(`absent: ${error.message}`));
        lines.next().then(({ value }) => resolve(value ?? "absent"));
      });
      if (!first.startsWith("ready")) continue;
      return {
        async step() {
          child.stdin!.write("\n");
          const [loss, seconds, processorSeconds] = String((await lines.next()).value)
            .split(" ")
            .map(Number);
          return { loss, seconds, processorSeconds };
        },
        close: () => child.stdin!.end(),
      };
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (!told)
    console.error("bench: no PyTorch; to measure it too (Debian): apt-get install python3-torch libopenblas0-pthread");
  told = true;
  return null;
}
