/** @file Step 4: the algorithm, what it says of itself, and its parameters. */
import { faultOf, type Param } from "../../core/recipe/parameters.ts";
import { byId, field, fill, h, messageLine, said } from "./dom.ts";
import { faults, setFault } from "./faults.ts";
import { allRecipes, type RecipeEntry } from "./recipes.ts";
import { setup, withRecipe } from "./setup.ts";
import { teacherField } from "./teacher.ts";

/** Where to begin, simplest first: from rollouts, and from a data set. */
const FIRST = ["grpo", "dapo", "grpo-dr", "gspo", "cispo", "rloo"];
const FIRST_DATA = ["sft", "dpo", "kto", "orpo", "simpo", "reward-model-bt", "gkd-jsd"];

function parameterField(recipe: RecipeEntry, name: string, spec: Param<unknown>): HTMLElement {
  const message = messageLine();
  const given = setup.value.params[recipe.id]?.[name];
  const value = given === undefined ? spec.default : given;
  const change = (next: unknown) => {
    const fault = faultOf(spec, next);
    message.say(fault ? `${fault[0].toUpperCase()}${fault.slice(1)}.` : "", "error");
    if (fault) return;
    const own = { ...setup.value.params[recipe.id] };
    if (JSON.stringify(next) === JSON.stringify(spec.default)) delete own[name];
    else own[name] = next;
    setup.set({ params: { ...setup.value.params, [recipe.id]: own } });
  };
  const span = [spec.min !== undefined && `from ${spec.min}`, spec.max !== undefined && `to ${spec.max}`].filter(
    Boolean,
  );
  const doc = `${spec.doc} · default ${JSON.stringify(spec.default)}${span.length > 0 ? `, ${span.join(" ")}` : ""}`;
  let control: HTMLElement;
  if (spec.type === "boolean") {
    const box = h("input", { type: "checkbox", checked: value === true, onchange: () => change(box.checked) });
    control = box;
  } else if (spec.choices) {
    const select = h(
      "select",
      { onchange: () => change(select.value) },
      ...spec.choices.map((text) => h("option", { value: text, selected: text === value }, text)),
    );
    control = select;
  } else {
    const plain = spec.type === "string";
    const input = h("input", {
      type: "text",
      inputmode: spec.type === "number" || spec.type === "integer" ? "decimal" : "text",
      autocomplete: "off",
      value: plain ? String(value) : JSON.stringify(value),
      onchange: () => {
        if (plain) return change(input.value);
        try {
          change(JSON.parse(input.value));
        } catch {
          message.say("Write a JSON value: a number, null, [1, 2], …", "error");
        }
      },
    });
    control = input;
  }
  const element = field(name, control, doc, spec.type === "boolean");
  element.append(message.element);
  return element;
}

export function recipeCard(): void {
  const message = messageLine();
  const count = h("small", { class: "doc" });
  const search = h("input", {
    type: "search",
    id: "recipe-search",
    autocomplete: "off",
    placeholder: "name, paper, idea …",
  });
  const choice = h("select", {
    id: "recipe-choice",
    onchange: () => setup.set(withRecipe(setup.value, choice.value)),
  });
  const about = h("div", { id: "recipe-about" });
  fill(
    byId("recipe"),
    h("div", { class: "pair-fields" }, field("Search", search), field("Recipe", choice)),
    count,
    message.element,
    about,
    teacherField(),
  );

  allRecipes().then(
    ({ recipes, others, stages }) => {
      const option = ({ id }: RecipeEntry) => h("option", { value: id }, id);
      const counted = recipes.filter(({ rollouts }) => rollouts).length;
      const list = () => {
        const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        const found = recipes.filter(({ id, paper, describe }) => {
          const text = `${id} ${paper.title} ${paper.arxiv ?? ""} ${describe}`.toLowerCase();
          return words.every((word) => text.includes(word));
        });
        const chosen = recipes.find(({ id }) => id === setup.value.recipe);
        const firsts = (names: readonly string[]) => names.flatMap((name) => found.find(({ id }) => id === name) ?? []);
        const [first, firstData] = [firsts(FIRST), firsts(FIRST_DATA)];
        fill(
          choice,
          // A choice that the search leaves out stays visible as chosen.
          chosen && !found.includes(chosen) && h("optgroup", { label: "Chosen" }, option(chosen)),
          first.length > 0 && h("optgroup", { label: "Start here" }, ...first.map(option)),
          firstData.length > 0 && h("optgroup", { label: "Start here with a data set" }, ...firstData.map(option)),
          ...Object.entries(stages).map(([stage, meaning]) => {
            const of = found.filter((recipe) => recipe.stage === stage && ![...first, ...firstData].includes(recipe));
            return of.length > 0 && h("optgroup", { label: `${stage}: ${meaning}` }, ...of.map(option));
          }),
        );
        choice.value = setup.value.recipe;
        count.textContent =
          words.length > 0
            ? `${found.length} of ${recipes.length} recipes match`
            : `${counted} train from rollouts, ${recipes.filter(({ data }) => data).length} from data sets; ${others} more are options, or need what neither has`;
      };
      search.addEventListener("input", list);
      let shown = "";
      setup.watch(({ recipe: id }) => {
        const recipe = recipes.find((entry) => entry.id === id);
        setFault("recipe", recipe ? "" : `recipe: "${id}" is not among those that train here — choose one`);
        if (id === shown) return;
        shown = id;
        list();
        if (!recipe) {
          fill(about);
          message.say(faults.value.recipe, "error");
          return;
        }
        message.say("");
        const params = Object.entries(recipe.params);
        fill(
          about,
          h("p", { class: "soft" }, recipe.paper.title, recipe.paper.arxiv && ` (arXiv ${recipe.paper.arxiv})`),
          h("p", {}, recipe.describe.replaceAll("\n", " ")),
          h("p", { class: "formula mono" }, recipe.formula),
          params.length > 0 &&
            h(
              "details",
              { open: true },
              h("summary", {}, params.length === 1 ? "1 parameter" : `${params.length} parameters`),
              h("div", { class: "fields" }, ...params.map(([name, spec]) => parameterField(recipe, name, spec))),
            ),
        );
      });
      // What depends on the recipe is known only now.
      setup.set({});
    },
    (error) => message.say(said(error), "error"),
  );
}
