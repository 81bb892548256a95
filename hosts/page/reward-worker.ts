/** @file Where a reward function runs: apart from the page and from the engine, so that an endless loop stops neither. */
import type { RewardFunction, Sample } from "../../core/rewards/index.ts";
import { type Endpoint, join } from "../port.ts";

/** What stands beside this script for `import … from "cohort/rewards"`: a module from a Blob finds no package. */
const LIBRARY = new URL("./rewards.js", import.meta.url).href;
const named = (source: string) =>
  source.replace(/(\bfrom\s*|\bimport\s*\(?\s*)(["'])cohort\/rewards\2/g, `$1$2${LIBRARY}$2`);

let functions: Record<string, RewardFunction> = {};

const offers = {
  /** Loads a module as `cohort train` would load the file; the names of its rewards. */
  async load(source: string): Promise<string[]> {
    const url = URL.createObjectURL(new Blob([named(source)], { type: "text/javascript" }));
    try {
      const module = (await import(url)) as Record<string, unknown>;
      const found = Object.entries(module).map(([name, fn]) => [name === "default" ? "reward" : name, fn] as const);
      const wrong = found.find(([, fn]) => typeof fn !== "function");
      if (wrong) throw new Error(`the export "${wrong[0]}" is ${typeof wrong[1]}, not a function`);
      if (found.length === 0) throw new Error("it exports nothing: write export default (sample) => number");
      functions = Object.fromEntries(found) as Record<string, RewardFunction>;
      return Object.keys(functions);
    } finally {
      URL.revokeObjectURL(url);
    }
  },
  score: (name: string, sample: Sample) => functions[name](sample),
  /** answered at once, unless the code above is in a loop */
  ping: () => true,
};

export type RewardOffers = typeof offers;

join(globalThis as unknown as Endpoint, offers);
