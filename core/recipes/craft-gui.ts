import { defineRecipe, list, number } from "../recipe.ts";
import { overlapF1, words } from "../rl/text.ts";

interface Action {
  action: string;
  point?: [number, number];
  text?: string;
  direction?: string;
}
type Gold = Action & { bbox?: [number, number, number, number] };
interface Prediction {
  parsed: Action | null;
  judge: number;
}

/** How well the action's parameter fits: the point in the box (bounds included), token F1 of a text, the direction. */
function parameter(got: Action, gold: Gold): number {
  if (gold.bbox) {
    const [x, y] = got.point ?? [Number.NaN, Number.NaN];
    const [x0, y0, x1, y1] = gold.bbox;
    return x >= x0 && x <= x1 && y >= y0 && y <= y1 ? 1 : 0;
  }
  if (gold.text !== undefined) return overlapF1(words(got.text ?? ""), words(gold.text));
  if (gold.direction !== undefined) return got.direction === gold.direction ? 1 : 0;
  return 1;
}

export default defineRecipe({
  id: "craft-gui",
  paper: { title: "CRAFT-GUI: Curriculum-Reinforced Agent For GUI Tasks", arxiv: "2508.11360" },
  stage: ["application", "reward", "sampler"],
  describe: `GRPO along a curriculum by the length of the task, with a reward that joins rule checks of the action (format,
type, parameter) and a model's judgement, which counts only where the output parses. The parameter counts only where the
type is right. Reconstruction from the abstract: weights, checks and the edges of the levels are choices.`,
  formula:
    "R = w_format·f + w_type·t + w_param·q + w_judge·j·f; level = how many level_edges the gold trajectory exceeds",
  params: {
    w_format: number(0.1, "weight: the output parses"),
    w_type: number(0.3, "weight: the type of action is right"),
    w_param: number(0.4, "weight: its parameter"),
    w_judge: number(0.2, "weight: the judgement"),
    level_edges: list([3, 7], "steps up to which a level goes"),
  },
  fields: { gold: "raw", prediction: "raw", trajectory_steps: "trajectory" },
  trains: { refuse: "needs screens with gold actions and a judge: supply gold, prediction, trajectory_steps" },
  reward: (c, p) => {
    const gold = c.raw<Gold[]>("gold");
    const parts = c.raw<Prediction[]>("prediction").map(({ parsed, judge }, i) => {
      const type = parsed !== null && parsed.action === gold[i].action ? 1 : 0;
      const param = parsed !== null && type === 1 ? parameter(parsed, gold[i]) : 0;
      return { format: parsed === null ? 0 : 1, type, param, judge };
    });
    const steps = c.field("trajectory_steps").values();
    c.output("reward_parts", parts);
    c.output(
      "level",
      Array.from(steps, (n) => p.level_edges.filter((edge) => n > edge).length),
    );
    const total = parts.map(
      ({ format, type, param, judge }) =>
        p.w_format * format + p.w_type * type + p.w_param * param + p.w_judge * judge * format,
    );
    return c.lift(c.trajectory, total);
  },
});
