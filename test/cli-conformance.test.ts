/** `cohort conformance`: rows as they are done, kernels by name, exit codes, and what is said where there is no adapter. */
import { describe, expect, test } from "vitest";
import type { DeviceOptions } from "../core/api.ts";
import { conformanceCases } from "../core/conformance.ts";
import type { KernelConformance } from "../core/conformance-report.ts";
import { CohortError } from "../core/errors.ts";
import { kernelNames } from "../core/kernels.ts";
import { memoryStorage } from "../core/storage.ts";
import { chooseAdapter } from "../hosts/adapters.ts";
import type { Io } from "../hosts/cli/command.ts";
import { main } from "../hosts/cli/main.ts";
import { openDevice } from "../hosts/device.ts";
import { builtInTask, makeEngine } from "../hosts/engine.ts";

interface World extends Io {
  output: string;
  errors: string;
}

/** A command line on WASM, or on the engine that is given. */
function world(engine?: Io["engine"]): World {
  const io = {
    output: "",
    errors: "",
    out(text: string) {
      io.output += text;
    },
    err(text: string) {
      io.errors += text;
    },
    env: {},
    runtime: "a test",
    async engine(options: DeviceOptions) {
      const opened = await openDevice({ ...options, backend: "wasm" }, { cores: 1 });
      return makeEngine({ ...opened, storage: memoryStorage(), clock: () => 0, taskSource: builtInTask });
    },
    ...(engine && { engine }),
  } as unknown as World;
  return io;
}

const row = (kernel: string): KernelConformance => ({
  kernel,
  cases: 3,
  digest: "0123456789abcdef",
  golden: "0123456789abcdef",
  failed: [],
});

test("kernels are chosen by name; a name that is none is refused with the nearest", async () => {
  const io = world();
  expect(await main(["conformance", "scale", "add", "--json"], io), io.errors).toBe(0);
  const rows = io.output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rows.slice(0, -1).map(({ kernel }) => kernel)).toEqual(["add", "scale"]);
  expect(rows[0].cases).toBe(conformanceCases().filter(({ kernel }) => kernel === "add").length);
  expect(rows.at(-1)).toMatchObject({ done: true, exact: true });
  io.output = "";
  expect(await main(["conformance", "add", "scael"], io)).toBe(2);
  expect(io.errors).toMatch(/^cohort: conformance: "scael" is not a kernel \(did you mean "scale"\?\) — choose from /);
  expect(io.output).toBe("");
});

test("every kernel has cases, so that none that is named is passed over", () => {
  const tried = new Set<string>(conformanceCases().map(({ kernel }) => kernel));
  expect(kernelNames.filter((name) => !tried.has(name))).toEqual([]);
});

test.each([[[]], [["--json"]]])(
  "the heading and each row are there before the next kernel is run %j",
  async (flags) => {
    const seen: string[] = [];
    const io = world(async () => {
      const engine = {
        runtime: { device: { name: "Slow" } },
        async conformance(onKernel: (row: KernelConformance) => void) {
          seen.push(io.output);
          onKernel(row("fill"));
          seen.push(io.output);
          onKernel({ ...row("scatter_add_rows"), failed: ["one"] });
          seen.push(io.output);
          return { device: "Slow", kernels: [row("fill"), { ...row("scatter_add_rows"), failed: ["one"] }] };
        },
        close: async () => {},
      };
      return engine as unknown as Awaited<ReturnType<Io["engine"]>>;
    });
    expect(await main(["conformance", ...flags], io)).toBe(1);
    const [start, first, second] = seen;
    expect(start).toMatch(flags.length > 0 ? /^$/ : /^Slow · a test\nkernel +cases {2}digest +golden +bits\n$/);
    expect(first.slice(start.length)).toMatch(/^\S*fill\b.*\n$/);
    expect(second.slice(first.length)).toMatch(/^\S*scatter_add_rows\b.*\n$/);
    if (flags.length > 0) expect(io.output.split("\n").at(-2)).toContain('"exact":false');
    else {
      const columns = second.split("\n").slice(1, -1);
      expect(new Set(columns.map((line) => line.search(/digest|0123/))).size).toBe(1);
      expect(io.output).toMatch(/differs: scatter_add_rows: one\nnot exact\n$/);
    }
  },
);

describe("exit codes", () => {
  test("3 where the device is not there, 1 where it fails at work, 2 for a refused option", async () => {
    const none = new CohortError("device", "webgpu: no hardware adapter, nor any other", "use --backend wasm");
    const io = world(async () => {
      throw none;
    });
    expect(await main(["conformance", "--backend", "webgpu", "--json"], io)).toBe(3);
    expect(io.errors).toBe("cohort: webgpu: no hardware adapter, nor any other — use --backend wasm\n");
    expect(io.output).toBe("");
    const lost = world(async () => {
      const engine = { conformance: () => Promise.reject(none), close: async () => {} };
      return engine as unknown as Awaited<ReturnType<Io["engine"]>>;
    });
    expect(await main(["conformance"], lost)).toBe(1);
    const refused = world();
    expect(await main(["conformance", "--backend", "wasm", "--adapter", "foo"], refused)).toBe(2);
    expect(refused.errors).toMatch(/^cohort: --adapter "foo": --backend wasm uses no adapter — /);
    expect(await main(["conformance", "--help"], refused)).toBe(0);
    expect(refused.output).toMatch(/Exit codes: 0 .* 1 .* 2 .* 3 /);
  });

  test("other commands keep 1 for a device that is not there", async () => {
    const io = world(async () => {
      throw new CohortError("device", "webgpu: none");
    });
    expect(await main(["doctor"], io)).toBe(1);
  });
});

describe("an adapter that is not there", () => {
  const software = { name: "SwiftShader Device", software: true };
  const hardware = { name: "A Real One", software: false };
  const refusal = (...asked: Parameters<typeof chooseAdapter>) => {
    try {
      chooseAdapter(...asked);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("chosen");
  };

  test("the remedy names --adapter only where there is one to name", () => {
    for (const wanted of [undefined, "foo"]) {
      expect(refusal([], wanted)).toMatch(/, nor any other — .*docs\/exactness\.md#check-your-driver/);
      expect(refusal([], wanted)).not.toContain("--adapter");
    }
    expect(refusal([software])).toMatch(/no hardware adapter \(there is: SwiftShader Device\) — .*with --adapter$/);
    expect(refusal([software, hardware], "foo")).toMatch(/called "foo" \(there is: .*; A Real One\) — .*name one/);
  });

  test("hardware first, software by name alone", () => {
    expect(chooseAdapter([software, hardware])).toBe(hardware);
    expect(chooseAdapter([software, hardware], "swift")).toBe(software);
  });
});
