import type { Tier } from '../errors.js'

/**
 * Server limits per source address, shared by all agents behind it: requests per minute, burst. `service` is the
 * service-wide limit for all requests, and the only one for bundles and JWT-SVIDs. The server counts 100 in a window of a
 * minute, so burst and refill together must not exceed it.
 */
export const LIMITS: Readonly<Record<Tier, { readonly perMinute: number; readonly burst: number }>> = {
  bootstrap: { perMinute: 60, burst: 20 },
  standard: { perMinute: 30, burst: 10 },
  sensitive: { perMinute: 10, burst: 5 },
  service: { perMinute: 80, burst: 20 },
}

/** The pace as a fraction of the limit, so that an agent alone at an address never gets a 429. */
const HEADROOM = 0.9
/** Polls (entries, bundles) use at most one of this many requests of their tier, whatever their interval. */
export const ROUTINE_TAKES_ONE_OF = 3
/** The X.509 bundle and the JWT bundle. */
export const REQUESTS_OF_A_BUNDLE_POLL = 2

/** Requests a minute of a tier that an agent alone at an address sends at most. */
export function fullPace(tier: Tier): number {
  return LIMITS[tier].perMinute * HEADROOM
}

/** Milliseconds between two polls, at a pace in requests a millisecond. */
export function routineGap(pacePerMs: number): number {
  return ROUTINE_TAKES_ONE_OF / pacePerMs
}

/** The shortest poll intervals of an agent alone at an address, in milliseconds. */
export const SHORTEST = {
  sync: routineGap(fullPace('standard') / 60_000),
  bundlePoll: REQUESTS_OF_A_BUNDLE_POLL * routineGap(fullPace('service') / 60_000),
} as const
