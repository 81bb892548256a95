// A reward of one's own: stories in which animals appear, told without saying the same thing again and again.
//
// The default export scores one completion; further named exports would be further rewards (weights in the
// configuration's task.weights). A reward returns a number, or null where it does not apply; it may be async.

const ANIMALS = new Set(
  "bear bird bunny butterfly cat chicken cow dog duck elephant fish fox frog horse kitten lion monkey mouse owl pig puppy rabbit sheep squirrel tiger turtle"
    .split(" ")
    .flatMap((animal) => [animal, `${animal}s`]),
);

/** Mentions of animals, at most three, as a share of three; times the share of three-word runs that are not repeats. */
export default function animals({ completion }) {
  const words = completion.toLowerCase().match(/[a-z']+/g) ?? [];
  const mentions = Math.min(3, words.filter((word) => ANIMALS.has(word)).length);
  return (mentions / 3) * freshness(words) ** 2;
}

function freshness(words) {
  const runs = words.slice(2).map((word, i) => `${words[i]} ${words[i + 1]} ${word}`);
  return runs.length === 0 ? 0 : new Set(runs).size / runs.length;
}
