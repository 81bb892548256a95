import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    pool: "forks",
    // One more than the cores of a small machine: tests in browsers mostly wait.
    maxWorkers: 3,
  },
});
