import { anything, defineRecipe, none, number } from "../recipe.ts";
import { tokenMean } from "../rl/aggregate.ts";

export default defineRecipe({
  id: "echo",
  paper: {
    title: "prime-rl echo algorithm",
    source: "PrimeIntellect-ai/prime-rl@559b447 src/prime_rl/orchestrator/algo/echo.py",
  },
  stage: ["objective"],
  describe: `GRPO on the policy's tokens plus a cross-entropy on tokens that the environment answered with: those of
the chosen roles after the first answer. Each part has its own token mean; template tokens belong to no chosen role.
The row has no case; role is a ragged list of one name a token.`,
  formula: "loss = Σ m·ℓ / Σ m + alpha·Σ_{observed} (−lp) / #observed",
  params: {
    alpha: number(0.1, "weight of the observed tokens", { min: 0 }),
    roles: anything<readonly string[]>(["tool"], "roles whose tokens count as observations"),
  },
  fields: { role: "raw" },
  trains: { refuse: "needs turns of an environment: supply role, the name of who wrote each token" },
  kl: none,
  aggregate: tokenMean,
  aux: (c, p) => {
    const role = c.raw<string[][]>("role").flat();
    const chosen = c.flags(
      c.token,
      role.map((name) => p.roles.includes(name)),
    );
    const answered = c.mask.cumulate(c.trajectory).gt(0);
    return c.logp.neg().meanOver(c.all, chosen.and(answered).and(c.mask.not())).mul(p.alpha);
  },
});
