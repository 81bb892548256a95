/** @file The package as npm would hand it out, installed into an empty project without a network. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

const npm = (cwd: string, ...args: string[]) =>
  execFileSync("npm", [...args, "--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, npm_config_update_notifier: "false" },
  });

/**
 * Packs the repository, as built, and what it depends on, and installs the tarballs into `folder`.
 * @returns the tarball's file list
 */
export function installPacked(folder: string): string[] {
  if (!existsSync(join(root, "dist/index.js"))) throw new Error("pack: dist is missing — npm run build");
  mkdirSync(join(folder, "tarballs"), { recursive: true });
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const sources = [root, ...Object.keys(dependencies).map((name) => join(root, "node_modules", name))];
  const packed = JSON.parse(npm(folder, "pack", ...sources, "--json", "--pack-destination", "tarballs"));
  writeFileSync(join(folder, "package.json"), '{"private": true, "type": "module"}');
  npm(folder, "install", ...packed.map(({ filename }: { filename: string }) => `./tarballs/${filename}`));
  return packed[0].files.map(({ path }: { path: string }) => path);
}

/** The lines of the shell blocks of an example's README. */
export function commandsOf(example: string): string[] {
  const text = readFileSync(join(root, "examples", example, "README.md"), "utf8");
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block]) => block.trim().split("\n"));
}

/** A fresh project with the files of an example and what `installPacked` put into `from`. */
export function projectOf(example: string, from: string, folder: string): string {
  cpSync(join(root, "examples", example), folder, {
    recursive: true,
    filter: (path) => !path.includes("node_modules") && !path.endsWith("/dist"),
  });
  symlinkSync(join(from, "node_modules"), join(folder, "node_modules"));
  // The example's own file names the repository; Deno looks up what it may take from node_modules.
  const read = (path: string) => (existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {});
  const { dependencies } = read(join(from, "package.json"));
  const own = { private: true, type: "module", ...read(join(folder, "package.json")), dependencies };
  writeFileSync(join(folder, "package.json"), JSON.stringify(own));
  return folder;
}
