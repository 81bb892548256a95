/** @file Dispatch to the commands, and the one place where errors become a line and an exit code. */

import { CohortError, nearest } from "../../core/errors.ts";
import { version } from "../../core/generated/version.ts";
import { type Command, type Io, readArguments } from "./command.ts";
import { compare } from "./compare.ts";
import { conformance } from "./conformance.ts";
import { demo } from "./demo.ts";
import { doctor } from "./doctor.ts";
import { evaluate } from "./eval.ts";
import { list } from "./list.ts";
import { replay } from "./replay.ts";
import { rewardCheck } from "./reward-check.ts";
import { sample } from "./sample.ts";
import { score } from "./score.ts";
import { train } from "./train.ts";
import { ui } from "./ui.ts";

export const commands: Readonly<Record<string, Command>> = {
  train,
  eval: evaluate,
  sample,
  score,
  replay,
  "reward-check": rewardCheck,
  compare,
  demo,
  list,
  doctor,
  conformance,
  ui,
};

function usage(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return `usage: cohort COMMAND [options]

Reinforcement-learning post-training of language models, with the same bits on every backend.

${rows.join("\n")}

cohort COMMAND --help says more; cohort --version. Start with: cohort train
`;
}

/** Runs one command line (without the program's name); the exit code. Never throws. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    if (error instanceof CohortError) {
      io.err(`cohort: ${error.message.replaceAll("\n", " ")}\n`);
      if (io.env.COHORT_DEBUG) io.err(`${error.stack}\n`);
      return error.exitCode;
    }
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    io.err(
      `cohort: unexpected ${message.replaceAll("\n", " ")} — set COHORT_DEBUG=1 for the stack, and please report it\n`,
    );
    if (io.env.COHORT_DEBUG && error instanceof Error) io.err(`${error.stack}\n`);
    return 1;
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const command = name === "help" && rest[0] !== undefined ? commands[rest[0]] : undefined;
    io.out(command?.help ?? usage());
    return 0;
  }
  if (name === "--version" || name === "-v") {
    io.out(`${version}\n`);
    return 0;
  }
  if (!Object.hasOwn(commands, name)) {
    const near = nearest(name, Object.keys(commands));
    throw new CohortError(
      "bad-input",
      `cohort: "${name}" is not a command${near ? ` (did you mean "${near}"?)` : ""}`,
      `choose one of ${Object.keys(commands).join(", ")}`,
    );
  }
  const command = commands[name];
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some((a) => a === "--help" || a === "-h")) {
    io.out(command.help);
    return 0;
  }
  return command.run(readArguments(name, command, rest), io);
}
