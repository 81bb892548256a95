/**
 * @file Peers to measure beside. They are no dependencies of Cohort, not even for development: test/bench/package.json
 * lists them with their versions, and nothing but the bench ever needs their 70 MB.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const from = createRequire(join(process.cwd(), "test/bench/package.json"));
const told = new Set<string>();

/** The module of a peer; null, after a line that says how to get it, where it is not installed. */
// biome-ignore lint/suspicious/noExplicitAny: peers are optional, and so are their types.
export async function peer(name: string): Promise<any> {
  let path: string;
  try {
    path = from.resolve(name);
  } catch {
    if (!told.has(name)) {
      console.error(
        `bench: ${name} is not installed; to measure it too: npm install --prefix test/bench --no-package-lock`,
      );
    }
    told.add(name);
    return null;
  }
  return import(pathToFileURL(path).href);
}
