import type { Tier } from '../errors.js'

/**
 * Server limits per source address, shared by all agents behind it: requests per minute, burst. `service` is
 * the limit around everything: all requests fall under it, and those for bundles and JWT-SVIDs under nothing else. The
 * server counts 100 in a window of a minute, into which burst and refill must fit together.
 */
export const LIMITS: Readonly<Record<Tier, { readonly perMinute: number; readonly burst: number }>> = {
  bootstrap: { perMinute: 60, burst: 20 },
  standard: { perMinute: 30, burst: 10 },
  sensitive: { perMinute: 10, burst: 5 },
  service: { perMinute: 80, burst: 20 },
}

/** The pace stays this far below the limit, so that a lone agent never meets a 429. */
const HEADROOM = 0.9
/** What is read again and again (entries, bundles) takes one of so many requests of its tier, whatever its interval. */
export const ROUTINE_TAKES_ONE_OF = 3
/** The bundle, and the keys of JWT-SVIDs. */
export const REQUESTS_OF_A_BUNDLE_POLL = 2

/** Requests a minute of a tier that a lone agent allows itself. */
export function fullPace(tier: Tier): number {
  return LIMITS[tier].perMinute * HEADROOM
}

/** Milliseconds between two requests that are made again and again, at a pace in requests a millisecond. */
export function routineGap(pacePerMs: number): number {
  return ROUTINE_TAKES_ONE_OF / pacePerMs
}

/** The shortest intervals, in milliseconds, at which a lone agent reads entries and bundles. */
export const SHORTEST = {
  sync: routineGap(fullPace('standard') / 60_000),
  bundlePoll: REQUESTS_OF_A_BUNDLE_POLL * routineGap(fullPace('service') / 60_000),
} as const
