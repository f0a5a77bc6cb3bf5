import { isError, type Tier } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { fullPace, LIMITS } from './limits.js'

/** The agent's burst as a fraction of the server's. */
const BURST = 0.8
const SLOWEST_PER_MINUTE = 0.5
/** A 429 multiplies the pace by this; each success adds this fraction of the full pace. */
const BACK_TO = 0.7
const GROWTH = 0.02
/** Upper bound of Retry-After: during a longer pause SVIDs would expire, the agent's own first. */
const LONGEST_PAUSE_MS = 300_000
/** Each 429 adds this much pressure, which decays to 1/e in this time. */
const PRESSURE_STEP = 0.25
const PRESSURE_FADES_MS = 900_000

/** Milliseconds that a 429 asks to wait, bounded; 0 for any other error. */
export function pauseOf(error: unknown): number {
  return isError(error, 'icp.rate_limited') ? bounded(error.details.retryAfterMs) : 0
}

function bounded(retryAfterMs: number): number {
  return Math.min(LONGEST_PAUSE_MS, Math.max(0, retryAfterMs))
}

interface TierBucket {
  /** Requests per millisecond, now. */
  pace: number
  tokens: number
  readonly burst: number
  readonly fastest: number
  filledAt: number
  pausedUntil: number
  pressure: number
  pressedAt: number
}

/**
 * Rate limiter of all requests to the ICP server, a token bucket per tier below the server's limits. The client charges
 * each request. A 429 pauses the tier for as long as the server says and lowers its pace; each success raises it a little,
 * so agents behind one address come to share the limit without knowing of each other. Nothing is queued: a loop waits
 * until a slot is open, then decides what to request.
 */
export class RateLimiter {
  readonly #buckets: Readonly<Record<Tier, TierBucket>>
  #urgent = 0

  constructor(
    private readonly clock: Pick<Clock, 'monotonic' | 'sleep'>,
    private readonly random: Random,
  ) {
    const bucket = (tier: Tier): TierBucket => {
      const fastest = fullPace(tier) / 60_000
      const burst = Math.max(1, Math.floor(LIMITS[tier].burst * BURST))
      const now = clock.monotonic()
      return {
        pace: fastest,
        tokens: burst,
        burst,
        fastest,
        filledAt: now,
        pausedUntil: now,
        pressure: 0,
        pressedAt: now,
      }
    }
    this.#buckets = {
      bootstrap: bucket('bootstrap'),
      standard: bucket('standard'),
      sensitive: bucket('sensitive'),
      service: bucket('service'),
    }
  }

  /** Milliseconds until a slot of the tier is open; 0: now. Takes nothing. */
  opensIn(tier: Tier): number {
    return Math.max(...this.#concerned(tier).map((bucket) => this.#opensIn(bucket)))
  }

  /** Takes a slot of the tier and returns true, or returns false if none is open. */
  tryAcquire(tier: Tier): boolean {
    if (this.opensIn(tier) > 0) return false
    this.#take(tier)
    return true
  }

  /** Charges a request that is sent now in any case. Without an open slot the bucket goes negative, which delays later requests. */
  charge(tier: Tier): void {
    if (!this.tryAcquire(tier)) this.#take(tier)
  }

  /** Waits for a slot of the tier and takes it. Rejects with the signal's reason. */
  async acquire(tier: Tier, signal: AbortSignal): Promise<void> {
    while (!this.tryAcquire(tier)) await this.clock.sleep(this.opensIn(tier), signal)
  }

  /**
   * Waits until a slot of the tier is open and calls `ask` in the same turn; the client counts each request. `urgent`:
   * before all others (the agent's own renewal, the poll of JWT keys). Rejects with the signal's reason.
   */
  async whenOpen<T>(
    tier: Tier,
    signal: AbortSignal,
    ask: () => Promise<T>,
    { urgent = false }: { readonly urgent?: boolean } = {},
  ): Promise<T> {
    if (urgent) this.#urgent++
    try {
      for (let wait = this.opensIn(tier); wait > 0; wait = this.opensIn(tier)) await this.clock.sleep(wait, signal)
    } finally {
      if (urgent) this.#urgent--
    }
    return await ask()
  }

  /**
   * A request got a 429 from the tier's limit; `service` is the limit around everything and pauses all requests.
   * `retryAfterMs`: as the server said; bounded here, and jittered so that agents do not return together.
   */
  limited(tier: Tier, retryAfterMs: number): void {
    const bucket = this.#buckets[tier]
    const now = this.clock.monotonic()
    // Requests sent side by side fail side by side: they are one 429.
    if (now >= bucket.pausedUntil) {
      bucket.pace = Math.max(SLOWEST_PER_MINUTE / 60_000, bucket.pace * BACK_TO)
      bucket.pressure = Math.min(1, this.#pressure(bucket) + PRESSURE_STEP)
      bucket.pressedAt = now
    }
    const pause = bounded(retryAfterMs) * (1 + this.random.fraction() / 4)
    bucket.tokens = Math.min(bucket.tokens, 1)
    bucket.pausedUntil = Math.max(bucket.pausedUntil, now + pause)
    bucket.filledAt = now
  }

  /** A request succeeded. Other refusals than 429 say nothing about the limit and are not reported here. */
  passed(tier: Tier): void {
    for (const bucket of this.#concerned(tier)) {
      bucket.pace = Math.min(bucket.fastest, bucket.pace + bucket.fastest * GROWTH)
    }
  }

  /** The current refill rate of the tier in requests per millisecond, without pauses and burst. */
  pace(tier: Tier): number {
    return Math.min(...this.#concerned(tier).map(({ pace }) => pace))
  }

  /** How crowded the address is, from 0 (no 429 for a long time) to 1; jobs that can wait do so under pressure. */
  pressure(tier: Tier): number {
    return Math.max(...this.#concerned(tier).map((bucket) => this.#pressure(bucket)))
  }

  #pressure({ pressure, pressedAt }: TierBucket): number {
    return pressure === 0 ? 0 : pressure * Math.exp((pressedAt - this.clock.monotonic()) / PRESSURE_FADES_MS)
  }

  /** True while an urgent request waits for a slot; other loops then take none. */
  get urgentWaiting(): boolean {
    return this.#urgent > 0
  }

  #take(tier: Tier): void {
    for (const bucket of this.#concerned(tier)) {
      this.#fill(bucket)
      bucket.tokens -= 1
    }
  }

  #concerned(tier: Tier): readonly TierBucket[] {
    return tier === 'service' ? [this.#buckets.service] : [this.#buckets[tier], this.#buckets.service]
  }

  #opensIn(bucket: TierBucket): number {
    this.#fill(bucket)
    const paused = bucket.pausedUntil - this.clock.monotonic()
    const short = bucket.tokens >= 1 ? 0 : (1 - bucket.tokens) / bucket.pace
    return Math.max(0, Math.ceil(Math.max(paused, short)))
  }

  #fill(bucket: TierBucket): void {
    const now = this.clock.monotonic()
    const from = Math.max(bucket.filledAt, Math.min(now, bucket.pausedUntil))
    bucket.tokens = Math.min(bucket.burst, bucket.tokens + Math.max(0, now - from) * bucket.pace)
    bucket.filledAt = now
  }
}
