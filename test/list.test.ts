/** What `cohort list`, keys of a configuration and `cohort demo` say of ids that are none. */
import { describe, expect, test } from "vitest";
import { recipeOf } from "../core/composition.ts";
import { parseConfig } from "../core/config.ts";
import { loadDemo } from "../core/demos/lib/demo.ts";
import { nearest } from "../core/errors.ts";
import { recipeIds } from "../core/generated/recipe-ids.ts";
import { loadRecipe } from "../core/recipe.ts";
import type { Io } from "../hosts/cli/command.ts";
import { main } from "../hosts/cli/main.ts";

async function list(...ids: string[]): Promise<string> {
  let said = "";
  const io = {
    out: () => {},
    err: (text: string) => {
      said += text;
    },
    columns: 100,
    env: {},
    cwd: "/",
    recipeIds: async () => recipeIds,
    recipe: loadRecipe,
  } as unknown as Io;
  expect(await main(["list", ...ids], io)).toBe(2);
  return said;
}

describe("an id that is none", () => {
  test.each([
    ["dr-grpo", "did you mean 'grpo-dr'?"],
    ["drgrpo", "did you mean 'grpo-dr'?"],
    ["Dr. GRPO", "did you mean 'grpo-dr'?"],
    ["deepseekmath", "did you mean 'grpo' or 'grpo-adv'?"],
    ["geometric-mean", "did you mean 'gmpo'?"],
    ["ppo", "did you mean 'ppo-clip', 'ppo-gae', 'ppo-value-loss', "],
    ["gspoo", "did you mean 'gspo'?"],
    ["nothing-like-it", "see `cohort list`"],
  ])("list %s: %s", async (id, said) => {
    expect(await list(id)).toContain(said);
  });

  test.each([
    [{ kl: "k9" }, /^kl: unknown recipe 'k9' — it takes abs, .*k1, .*k3-unbiased, score-function$/],
    [{ kl: "k3-unbaised" }, /^kl: .* did you mean 'k3-unbiased'\?$/],
    [{ kl: "kl-k3-unbaised" }, /^kl: .* did you mean 'k3-unbiased'\?$/],
    [{ aggregate: "foo" }, /^aggregate: unknown recipe 'foo' — it takes group-token-mean, .*token-sum$/],
    [{ filter: ["dynamic-samplin"] }, /^filter: .* did you mean 'dynamic-sampling'\?$/],
    [{ filter: ["overlong-fliter"] }, /^filter: .* did you mean 'overlong-filter'\?$/],
    [{ filter: ["foo"] }, /^filter: unknown recipe 'foo' — it takes adv-range-gate, .*dynamic-sampling/],
    [{ correction: "tis-tokn" }, /^correction: .* did you mean 'tis-token'\?$/],
    [{ options: ["entropy-bonsu"] }, /^options: .* did you mean 'entropy-bonus'\?$/],
  ])("%j", async (options, said) => {
    await expect(recipeOf(parseConfig({ recipe: "grpo", ...options }))).rejects.toThrow(said);
  });

  test("a list that is none: the form is shown", () => {
    const said = (key: string) => () => parseConfig({ [key]: "dynamic-samplin" });
    expect(said("filter")).toThrow(`want a list of ids, as in --set 'filter=["dynamic-sampling"]'`);
    expect(said("options")).toThrow(`want a list of ids, as in --set 'options=["entropy-bonus"]'`);
  });

  test("demo: a recipe without a demonstration, and no far guess", async () => {
    await expect(loadDemo("dapo")).rejects.toThrow(/'dapo', which is a recipe without one — choose one of .*ngrpo/);
    await expect(loadDemo("nope")).rejects.toThrow(/no demonstration of 'nope' — choose one of .*ngrpo/);
  });

  test("nearest: other joins and orders of the same words; at most a third of the letters", () => {
    expect(nearest("Dr GRPO", ["dr-rpo", "grpo-dr"])).toBe("grpo-dr");
    expect(nearest("maxtokens", ["max_tokens"])).toBe("max_tokens");
    expect(nearest("abcd", ["abdc"])).toBe("abdc");
    expect(nearest("abcd", ["abxy"])).toBeUndefined();
    expect(nearest("gradient", ["model", "grad"])).toBe("grad");
  });
});
