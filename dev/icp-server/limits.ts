import type { LimitsMode } from './options.js'

export type LimitTier = 'bootstrap' | 'standard' | 'sensitive'

/** Token buckets of the real server, one per tier and client address. */
const TIERS: Record<LimitTier, { readonly perMinute: number; readonly burst: number }> = {
  bootstrap: { perMinute: 60, burst: 20 },
  standard: { perMinute: 30, burst: 10 },
  sensitive: { perMinute: 10, burst: 5 },
}

export const WINDOW_LIMIT = 100
const WINDOW_MS = 60_000

/** The cost of one request in the unit of `level`, in which the arithmetic is exact for whole milliseconds. */
const COST = 60_000

interface ClientBucket {
  /** Tokens times COST. */
  level: number
  at: number
}

/** The rate limits per client address. Times are milliseconds of the monotonic clock. */
export class Limits {
  readonly #buckets = new Map<string, ClientBucket>()
  readonly #windows = new Map<string, number[]>()

  constructor(public mode: LimitsMode) {}

  /** The service-wide limit: 100 requests in any 60 seconds; refused ones do not count. */
  admits(ip: string, now: number): boolean {
    if (this.mode === 'off') return true
    const recent = (this.#windows.get(ip) ?? []).filter((at) => now - at < WINDOW_MS)
    const admitted = recent.length < WINDOW_LIMIT
    if (admitted) recent.push(now)
    this.#windows.set(ip, recent)
    return admitted
  }

  /** Takes a token of the tier's bucket, if there is one. */
  takes(tier: LimitTier, ip: string, now: number): boolean {
    if (this.mode === 'off') return true
    const { perMinute, burst } = TIERS[tier]
    const key = `${tier} ${ip}`
    const bucket = this.#buckets.get(key) ?? { level: burst * COST, at: now }
    const level = Math.min(burst * COST, bucket.level + (now - bucket.at) * perMinute)
    const taken = level >= COST
    this.#buckets.set(key, { level: taken ? level - COST : level, at: now })
    return taken
  }
}
