import type { ChaosOptions } from './run.js'

/** Twenty seconds and few processes: what `npm test` can afford. */
export function shortRun(root: string, seed: number): ChaosOptions {
  return {
    seed,
    runMs: 20_000,
    world: {
      root,
      workloads: 6,
      steadyWorkloads: 3,
      users: 3,
      svidTtlSeconds: 40,
      syncMs: 7_000,
      bundleMs: 5_000,
      jwtEveryMs: 1_500,
    },
    tempo: { longest: 2, quiet: [0.2, 1], overlap: 0.3 },
  }
}

/** Fifty workload processes, for minutes or hours. */
export function longRun(root: string, seed: number, minutes: number): ChaosOptions {
  return {
    seed,
    runMs: minutes * 60_000,
    world: {
      root,
      workloads: 40,
      steadyWorkloads: 10,
      users: 5,
      svidTtlSeconds: 150,
      syncMs: 7_000,
      bundleMs: 5_000,
      jwtEveryMs: 7_000,
    },
    tempo: { longest: 20, quiet: [2, 18], overlap: 0.25 },
  }
}
