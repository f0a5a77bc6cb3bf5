import { AgentError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import { type JwtKey, parseJwtKey } from '../identity/jwt-svid.js'
import { SharedWork } from '../lib/shared-work.js'
import type { JwtEvents } from '../observability/jwt-events.js'
import type { Clock } from '../ports/clock.js'
import type { SvidStore } from './store.js'

/** How long tokens of a key may live after the server stopped publishing the key. */
const KEEP_OLD_MS = 3_600_000
const MAX_KEYS = 32
/** Minimum time between fetches because of tokens that no key verifies: anyone can make such tokens. */
const RECONSIDER_MS = 30_000

export interface JwtKeysOptions {
  readonly store: SvidStore
  readonly controlPlane: Pick<ControlPlane, 'jwtBundle'>
  readonly limiter: Pick<RateLimiter, 'opensIn'>
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly events: JwtEvents
}

/** The keys of JWT-SVIDs: those that the server publishes, and for a while those that it published before. */
export class JwtKeys {
  /** By fingerprint, when the server last published the key. */
  #lastNamed = new Map<string, number>()
  #unusable = 0
  #askedAt = Number.NEGATIVE_INFINITY
  readonly #refreshing = new SharedWork<void>()

  constructor(private readonly options: JwtKeysOptions) {}

  current(): readonly JwtKey[] {
    return this.options.store.current.jwtKeys
  }

  /** Fetches the keys; one request at a time. If it throws `icp.*`, nothing has changed. */
  refresh(signal: AbortSignal): Promise<void> {
    return this.#refreshing.join('', signal, (stop) => this.#refresh(stop))
  }

  /**
   * For a token that no key verifies: fetches newer keys, unless that was done a moment ago. True if the keys changed.
   * Throws only the signal's reason, because validation must not depend on the server.
   */
  async reconsider(signal: AbortSignal): Promise<boolean> {
    const { limiter, clock } = this.options
    const before = this.current()
    if (clock.monotonic() < this.#askedAt + RECONSIDER_MS || limiter.opensIn('service') > 0) return false
    try {
      await this.refresh(signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
    }
    return this.current() !== before
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { controlPlane, clock, events, store } = this.options
    this.#askedAt = clock.monotonic()
    const published = await controlPlane.jwtBundle(signal)
    const parsed = (await Promise.all(published.slice(0, MAX_KEYS).map(parseJwtKey))).filter((key) => key !== null)
    const unusable = published.length - parsed.length
    if (unusable > 0 && unusable !== this.#unusable) events.keysUnusable(unusable)
    this.#unusable = unusable
    if (parsed.length === 0) {
      throw new AgentError('icp.bad_response', 'the JWT bundle of the ICP server holds no key for JWT-SVIDs')
    }
    const before = store.current.jwtKeys
    const next = this.#merge(before, distinct(parsed), clock.now())
    if (next.length === before.length && next.every((key, i) => key === before[i])) return
    events.keysChanged(next.length, new Set(next.map(({ jwk }) => jwk.kid)).size)
    store.publish({ jwtKeys: next }, { entries: new Set(), bundles: true })
  }

  /**
   * Published keys first, new ones before known ones whatever the server's order; then old keys that are still kept. Keys
   * that did not change stay the same objects.
   */
  #merge(before: readonly JwtKey[], published: readonly JwtKey[], now: number): readonly JwtKey[] {
    // The server published a key restored from disk at an unknown time, so its time counts from now.
    const lastNamed = new Map(before.map(({ fingerprint }) => [fingerprint, this.#lastNamed.get(fingerprint) ?? now]))
    for (const { fingerprint } of published) lastNamed.set(fingerprint, now)
    const kept = before.filter(
      ({ fingerprint }) =>
        !published.some((key) => key.fingerprint === fingerprint) &&
        now < (lastNamed.get(fingerprint) ?? 0) + KEEP_OLD_MS,
    )
    const place = (key: JwtKey) => before.findIndex(({ fingerprint }) => fingerprint === key.fingerprint)
    const newestFirst = [...published].sort((a, b) => place(a) - place(b))
    const next = [...newestFirst.map((key) => before.find((old) => sameKey(old, key)) ?? key), ...kept]
    this.#lastNamed = new Map(next.map(({ fingerprint }) => [fingerprint, lastNamed.get(fingerprint) ?? now]))
    return next
  }
}

function sameKey(a: JwtKey, b: JwtKey): boolean {
  return a.fingerprint === b.fingerprint && a.jwk.kid === b.jwk.kid && a.jwk.alg === b.jwk.alg
}

function distinct(keys: readonly JwtKey[]): readonly JwtKey[] {
  return keys.filter((key, i) => keys.findIndex(({ fingerprint }) => fingerprint === key.fingerprint) === i)
}
