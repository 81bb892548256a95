/** @file What stands in the way of training, by the thing that says it: nothing starts before it is put right. */
import { Store } from "./store.ts";

const places = ["model", "task", "reward", "recipe", "teacher", "settings"] as const;
export type Place = (typeof places)[number];

/** A sentence for each; "" where all is well. */
export const faults = new Store<Record<Place, string>>({
  model: "",
  task: "",
  reward: "",
  recipe: "",
  teacher: "",
  settings: "",
});

export function setFault(place: Place, text: string): void {
  if (faults.value[place] !== text) faults.set({ [place]: text });
}

/** The steps of the page that have something to say, in order. */
export const faulty = (): Exclude<Place, "teacher">[] => [
  ...new Set(
    places.filter((place) => faults.value[place] !== "").map((place) => (place === "teacher" ? "recipe" : place)),
  ),
];
