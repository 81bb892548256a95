import { defineRecipe, list, number } from "../recipe.ts";

/** Reward of the nearest obstacle's distance d: a penalty and a bonus that may both apply (d = 4 and d = 8). */
function obstacle(d: number): number {
  const penalty = d >= 4 && d <= 8 ? (-5 * (8 - d)) / 4 : d < 2.8 ? -10 + 2 * d : 0;
  return penalty + ((d >= 3 && d <= 4) || (d >= 8 && d <= 10) ? 5 : 0);
}

const clamp = (x: number, bound: number): number => Math.max(-bound, Math.min(bound, x));

export default defineRecipe({
  id: "blip-fuseppo",
  paper: {
    title:
      "BLIP-FusePPO: A Vision-Language Deep Reinforcement Learning Framework for Lane Keeping in Autonomous Vehicles",
    arxiv: "2510.22370",
  },
  stage: ["policy", "reward", "application"],
  describe: `PPO for lane keeping on a fused observation (image, lidar, a PID controller's suggestion, caption tokens); the
numeric parts here are its hand-made reward and the controller. Leaving the lane ends an episode with −3 plus a fiftieth
of the seconds driven, not clipped; the stop after repeated close obstacles needs a history and is left out, as are the
mirrored transitions and the observation itself.`,
  formula:
    "R = clip(w·[1 − |x|/100, −((v−20)/20)², r_lidar/10, −2.5(x/80)²], ±1), −3 + t/50 where |x| > 85; u = kp·e + ki·I + kd·Δe/dt",
  params: {
    w: list([0.3, 0.2, 0.3, 0.2], "weights: distance, speed, lidar, centre", { length: 4 }),
    kp: number(0.15, "PID: proportional gain"),
    ki: number(0.02, "PID: integral gain"),
    kd: number(0.08, "PID: derivative gain"),
    dt: number(0.05, "seconds between steps of pid_error", { min: 1e-9 }),
  },
  fields: { offset: "raw", lidar_min: "raw", speed: "raw", time: "raw", pid_error: "raw" },
  trains: {
    refuse: "needs a driving simulator and a policy on images: supply offset, lidar_min, speed, time, pid_error",
  },
  outputs: (c, p) => {
    const [lidar, speed, time] = ["lidar_min", "speed", "time"].map((name) => c.raw<(number | null)[]>(name));
    const offset = c.raw<number[]>("offset");
    const done = offset.map((x) => Math.abs(x) > 85);
    const reward = offset.map((x, k) => {
      if (done[k]) return -3 + (time[k] ?? 0) / 50;
      const fast = ((speed[k] ?? 0) - 20) / 20;
      const centre = Math.abs(x) / 80;
      const parts = [1 - Math.abs(x) / 100, -fast * fast, obstacle(lidar[k] ?? 100) / 10, -2.5 * centre * centre];
      return clamp(
        parts.reduce((sum, r, j) => sum + p.w[j] * r, 0),
        1,
      );
    });
    let [integral, before] = [0, 0];
    const pid = c.raw<number[]>("pid_error").map((e) => {
      integral = clamp(integral + e * p.dt, 1);
      const u = p.kp * e + p.ki * integral + (p.kd * (e - before)) / p.dt;
      before = e;
      return clamp(u, 0.8);
    });
    return { reward, done, pid };
  },
});
