import { AgentError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { type JwtKey, parseJwtKey } from '../identity/jwt-svid.js'
import type { JwtEvents } from '../observability/jwt-events.js'
import type { Clock } from '../ports/clock.js'
import type { IdentityStore } from '../store/identity-store.js'

/** Tokens of a key that the server publishes no longer may live so long. */
const KEEP_OLD_MS = 3_600_000
const MAX_KEYS = 32

/** Keeps the keys of JWT-SVIDs: those that the server publishes, and for a while those that it did. */
export class JwtKeys {
  #lastNamed = new Map<string, number>()
  #unusable = 0
  #refreshing: Promise<void> | null = null

  constructor(
    private readonly options: {
      readonly store: IdentityStore
      readonly controlPlane: Pick<ControlPlane, 'jwtBundle'>
      readonly clock: Pick<Clock, 'now'>
      readonly events: JwtEvents
    },
  ) {}

  current(): readonly JwtKey[] {
    return this.options.store.current.jwtKeys
  }

  /** Asks the server; one request at a time. Throws `icp.*`, and then nothing changes. */
  refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#refresh(signal).finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { controlPlane, clock, events, store } = this.options
    const published = await controlPlane.jwtBundle(signal)
    const parsed = (await Promise.all(published.slice(0, MAX_KEYS).map(parseJwtKey))).filter((key) => key !== null)
    const unusable = published.length - parsed.length
    if (unusable > 0 && unusable !== this.#unusable) events.keysUnusable(unusable)
    this.#unusable = unusable
    if (parsed.length === 0) {
      throw new AgentError('icp.bad_response', 'the JWT bundle of the ICP server holds no key for JWT-SVIDs')
    }
    const now = clock.now()
    const before = store.current.jwtKeys
    for (const { fingerprint } of parsed) this.#lastNamed.set(fingerprint, now)
    const kept = before.filter(
      ({ fingerprint }) =>
        !parsed.some((key) => key.fingerprint === fingerprint) &&
        now < (this.#lastNamed.get(fingerprint) ?? now) + KEEP_OLD_MS,
    )
    const next = [...parsed.map((key) => before.find((old) => old.fingerprint === key.fingerprint) ?? key), ...kept]
    if (next.length === before.length && next.every((key, i) => key === before[i])) return
    events.keysChanged(next.length)
    store.publish({ jwtKeys: next }, { entries: new Set(), bundles: true })
  }
}
