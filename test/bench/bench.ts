/**
 * @file The bench: `npm run bench -- --help`. Each figure is the median of several rounds, with its spread. Machines are noisy:
 * compare ratios of one run. `--json` prints a line a figure (`Result` of harness.ts); `curves` writes docs/cost.md.
 */
import { CohortError } from "../../core/errors.ts";
import { curves } from "./curves.ts";
import { bench, plan, type Section } from "./harness.ts";
import { wasmKernels } from "./kernels.ts";
import { help, parseOptions } from "./options.ts";
import { policyOptimisation } from "./rl.ts";
import { grpoStep, training } from "./training.ts";
import { webgpu } from "./webgpu.ts";

const sections: readonly Section[] = [policyOptimisation, wasmKernels, training, grpoStep, webgpu];
const drawn = { id: "curves", what: "cost of a step against tokens, width, vocabulary, group size, into docs/cost.md" };

try {
  const options = parseOptions(
    process.argv.slice(2),
    [...sections, drawn].map(({ id }) => id),
  );
  const measured = options.sections.filter((id) => id !== drawn.id);
  if (options.help) console.log(help([...sections, drawn]));
  else if (options.list) for (const names of plan(sections, options).values()) console.log(names.join("\n"));
  else {
    if (options.sections.includes(drawn.id)) await curves({ json: options.json });
    if (measured.length > 0 || options.sections.length === 0) await bench(sections, options);
  }
} catch (error) {
  if (!(error instanceof CohortError)) throw error;
  console.error(error.message);
  process.exit(error.exitCode);
}
// Dawn does not end by itself.
process.exit(0);
