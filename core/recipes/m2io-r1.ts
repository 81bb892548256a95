import { defineRecipe, number } from "../recipe.ts";

type Placed = [position: number, image: string];

/** F1 of the chosen images, and the share of the right ones that stand where they should; both 0 without a hit. */
function score(predicted: readonly Placed[], gold: readonly Placed[]): { f1: number; place: number } {
  const images = new Set(gold.map(([, image]) => image));
  const hits = predicted.filter(([, image]) => images.has(image));
  if (hits.length === 0) return { f1: 0, place: 0 };
  const placed = hits.filter(([at, image]) => gold.some(([position, other]) => position === at && other === image));
  return { f1: (2 * hits.length) / (predicted.length + images.size), place: placed.length / hits.length };
}

export default defineRecipe({
  id: "m2io-r1",
  paper: {
    title:
      "M2IO-R1: An Efficient RL-Enhanced Reasoning Framework for Multimodal Retrieval Augmented Multimodal Generation",
    arxiv: "2508.06328",
  },
  stage: ["application", "reward"],
  describe: `GRPO for a model that decides which retrieved images go into a text answer, and where: form, choice of images
(F1) and their place. An output that does not parse earns nothing. A reconstruction: the abstract names no formula and no
weights; those here are choices. Retrieval and captions are left out.`,
  formula: "R = F·(w_format + w_select·F1(images) + w_place·share of right images at the gold position)",
  params: {
    w_format: number(0.2, "weight of the form"),
    w_select: number(0.5, "weight of the choice of images"),
    w_place: number(0.3, "weight of their places"),
  },
  fields: { prediction: "raw", gold: "raw", format_ok: "trajectory" },
  trains: {
    refuse: "needs retrieved images to place: supply prediction and gold as lists of [position, image], and format_ok",
  },
  reward: (c, p) => {
    const gold = c.raw<Placed[]>("gold");
    const scores = c.raw<Placed[][]>("prediction").map((predicted) => score(predicted, gold));
    const [select, place] = [scores.map(({ f1 }) => f1), scores.map((s) => s.place)];
    c.output("rewards", { select_f1: select, place });
    const good = c.lift(c.trajectory, select).mul(p.w_select).add(c.lift(c.trajectory, place).mul(p.w_place));
    return good.add(p.w_format).mul(c.field("format_ok"));
  },
});
