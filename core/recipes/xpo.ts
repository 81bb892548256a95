import { choice, defineRecipe, number } from "../recipe.ts";
import { answersInTurn, implicitReward, pairMean, sumLogp } from "../rl/preference.ts";

export default defineRecipe({
  id: "xpo",
  paper: {
    title: "Exploratory Preference Optimization: Harnessing Implicit Q*-Approximation for Sample-Efficient RLHF",
    source: "huggingface/trl@f2cd577 trl/experimental/xpo/xpo_trainer.py",
  },
  stage: ["preference"],
  describe: `Online DPO between an answer of the policy (rows 0, 2, …) and one of the reference (rows 1, 3, …), in the
order the judge gives (correct, one a pair), plus a small bonus for exploring: the likelihood of the reference's answer
goes down.`,
  formula:
    "loss = mean_j −ln σ(beta·(h_winner − h_loser)) + alpha·Σ_t lp of the reference's answer; ipo: (Δ − 1/(2·beta))²",
  params: {
    beta: number(0.1, "strength of the pull to the reference", { min: 1e-9 }),
    alpha: number(0.00001, "weight of the optimism", { min: 0 }),
    loss: choice("sigmoid", ["sigmoid", "ipo"], "of the margin; ipo on sums, not divided by length"),
  },
  fields: { correct: "raw" },
  trains: { supply: { correct: "reference-answers" } },
  loss: (c, p) => {
    const won = c.raw<ArrayLike<boolean | number>>("correct");
    const rows = answersInTurn(c, won);
    const { chosen, rejected } = rows;
    const h = implicitReward(c);
    const delta = chosen(h).sub(rejected(h));
    const ofPair = p.loss === "ipo" ? delta.sub(1 / (2 * p.beta)).square() : delta.mul(p.beta).logSigmoid().neg();
    const fromReference = c.flags(rows.level, won).where(rejected(sumLogp(c)), chosen(sumLogp(c)));
    return pairMean(ofPair.add(fromReference.mul(p.alpha)));
  },
});
