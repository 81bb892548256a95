import { anything, defineRecipe } from "../recipe.ts";
import { centred } from "../rl/baseline.ts";

export default defineRecipe({
  id: "hierarchical-grpo",
  paper: {
    title: "prime-rl hierarchical_grpo",
    source: "prime-rl src/prime_rl/orchestrator/algo/hierarchical_grpo.py",
  },
  stage: ["advantage"],
  describe: `Several roles play an episode: those named are compared with the same role inside their episode, the others with
the same role of the whole group. A solver's credit then does not depend on how hard the proposer's problem was.
No deviation divides; alone in its set: 0. The rest is plain GRPO.`,
  formula: "A_i = R_i − mean of the set; set = (role, episode) for episode_roles, else (role, group)",
  params: {
    episode_roles: anything<readonly string[]>(["solver"], "roles that are compared inside their episode"),
  },
  fields: { episode: "raw", role: "raw" },
  trains: { refuse: "needs several roles in an episode: supply the fields 'role' and 'episode', one a trajectory" },
  advantage: (c, p) => {
    const role = c.raw<string[]>("role");
    const episode = c.raw<(string | number)[]>("episode");
    const group = c.trajectory.edge(c.group).index;
    const inside = role.map((r) => p.episode_roles.includes(r));
    const place = role.map((_, i) => (inside[i] ? episode[i] : group[i]));
    return centred(c.reward, c.keyed("set", c.trajectory, role, inside, place));
  },
});
