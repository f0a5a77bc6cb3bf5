import type { LimitsMode } from './options.js'

export type Tier = 'bootstrap' | 'standard' | 'sensitive'

/** Token buckets of the real server, one per tier and client address. */
const TIERS: Record<Tier, { readonly perMinute: number; readonly burst: number }> = {
  bootstrap: { perMinute: 60, burst: 20 },
  standard: { perMinute: 30, burst: 10 },
  sensitive: { perMinute: 10, burst: 5 },
}

export const WINDOW_LIMIT = 100
const WINDOW_MS = 60_000

interface Bucket {
  tokens: number
  at: number
}

/** The rate limits per client address. Times are milliseconds of a clock that never jumps. */
export class Limits {
  readonly #buckets = new Map<string, Bucket>()
  readonly #windows = new Map<string, number[]>()

  constructor(public mode: LimitsMode) {}

  /** The window around the whole service: 100 requests in any 60 seconds; refused ones do not count. */
  admits(ip: string, now: number): boolean {
    if (this.mode === 'off') return true
    const recent = (this.#windows.get(ip) ?? []).filter((at) => now - at < WINDOW_MS)
    const admitted = recent.length < WINDOW_LIMIT
    if (admitted) recent.push(now)
    this.#windows.set(ip, recent)
    return admitted
  }

  /** Takes a token of the tier's bucket, if there is one. */
  takes(tier: Tier, ip: string, now: number): boolean {
    if (this.mode === 'off') return true
    const { perMinute, burst } = TIERS[tier]
    const key = `${tier} ${ip}`
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now }
    const tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * perMinute) / 60_000)
    const taken = tokens >= 1
    this.#buckets.set(key, { tokens: taken ? tokens - 1 : tokens, at: now })
    return taken
  }
}
