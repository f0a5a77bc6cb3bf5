import { AgentError } from '../errors.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import { Alarm } from '../lib/alarm.js'
import type { JwtEvents } from '../observability/jwt-events.js'
import type { Clock } from '../ports/clock.js'
import type { Demand } from './demand.js'
import { type IssueJwtOptions, issueJwtSvid } from './issue-jwt.js'
import { fresh, type HeldJwt, type JwtCache, type JwtSubject } from './jwt-cache.js'
import type { SvidStore } from './store.js'

export interface JwtSvidsOptions extends IssueJwtOptions {
  readonly store: SvidStore
  readonly demand: Pick<Demand, 'turnOf' | 'tookTurn'>
  readonly cache: JwtCache
  readonly limiter: Pick<RateLimiter, 'opensIn'>
  readonly clock: Clock
  readonly events: JwtEvents
  /** A token of this trust domain was issued and verified, so its bundle must be served. */
  readonly onVerified: (trustDomain: string, until: number) => void
}

interface WantedJwt {
  readonly subject: JwtSubject
  readonly uid: number
  readonly waiters: Set<(result: HeldJwt | AgentError) => void>
}

/** How long a call waits for a fresh token before it gets one that is valid but past half its life. */
const PATIENCE_MS = 1_000
const CONCURRENCY = 4
/** After a failure, callers of the same token get the same error for this time. */
const NEGATIVE_MS = 2_000
/** Wait before a failed refresh is retried. */
const REFRESH_RETRY_MS = 30_000

/**
 * JWT-SVIDs on demand: from the cache while fresh, else from the server, with one request for all callers of the same
 * token; callers come before refreshes. Callers only wait; the loop sends the requests.
 */
export class JwtSvids {
  readonly #wants = new Map<string, WantedJwt>()
  readonly #failed = new Map<string, { readonly error: AgentError; readonly until: number }>()
  readonly #inFlight = new Set<string>()
  readonly #alarm: Alarm

  constructor(private readonly options: JwtSvidsOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  /**
   * The token for a subject, within `deadlineMs`. Throws the server's error (`icp.*`), or `svid.pending` at the deadline
   * and when the signal aborts; instead of either it returns an older token that is still valid.
   */
  async want(subject: JwtSubject, uid: number, deadlineMs: number, signal: AbortSignal): Promise<HeldJwt> {
    const { cache, clock } = this.options
    const held = cache.use(subject, clock.now())
    if (held && fresh(held, clock.now())) return held
    const key = keyOf(subject)
    const failure = this.#failed.get(key)
    if (failure && clock.monotonic() < failure.until) {
      if (held) return held
      throw failure.error
    }
    const patienceMs = held ? Math.min(PATIENCE_MS, deadlineMs) : deadlineMs
    const result = await this.#wait(key, { subject, uid }, patienceMs, signal)
    if (!(result instanceof AgentError)) return result
    if (held && clock.now() < held.expiresAt) return held
    throw result
  }

  /** Wakes the loop after a change that it does not observe: the agent has an SVID now. */
  wake(): void {
    this.#alarm.ring()
  }

  /** Requests tokens while there is demand. Ends when the signal aborts. */
  async run(agent: () => SpiffeId | null, signal: AbortSignal): Promise<void> {
    const { clock, cache, limiter, store, demand } = this.options
    const running = new Set<Promise<void>>()
    try {
      for (;;) {
        const now = clock.now()
        cache.prune((entryId) => store.current.entries.get(entryId)?.spiffeId, now)
        this.#forgetFailures()
        const next = agent() && running.size < CONCURRENCY ? this.#next(now) : null
        const opensIn = next ? limiter.opensIn('service') : Number.POSITIVE_INFINITY
        if (next && opensIn === 0) {
          if (next.uid !== undefined) demand.tookTurn(next.uid)
          const task = this.#issue(next.subject, signal).finally(() => {
            running.delete(task)
            this.#alarm.ring()
          })
          running.add(task)
          continue
        }
        const ageing = Math.max(1_000, cache.nextAgeing(now) - now)
        await this.#alarm.sleep(Math.min(opensIn, ageing, REFRESH_RETRY_MS), signal)
      }
    } finally {
      await Promise.allSettled(running)
      for (const want of this.#wants.values()) settle(want, stopping())
      this.#wants.clear()
    }
  }

  #wait(
    key: string,
    { subject, uid }: Pick<WantedJwt, 'subject' | 'uid'>,
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<HeldJwt | AgentError> {
    return new Promise((resolve) => {
      const want = this.#wants.get(key) ?? { subject, uid, waiters: new Set() }
      this.#wants.set(key, want)
      const settled = (result: HeldJwt | AgentError) => {
        want.waiters.delete(settled)
        if (want.waiters.size === 0 && this.#wants.get(key) === want) this.#wants.delete(key)
        late[Symbol.dispose]()
        signal.removeEventListener('abort', giveUp)
        resolve(result)
      }
      const giveUp = () => settled(new AgentError('svid.pending', 'the JWT-SVID has not been issued yet; try again'))
      const late = this.options.clock.after(deadlineMs, giveUp)
      want.waiters.add(settled)
      if (signal.aborted) giveUp()
      else signal.addEventListener('abort', giveUp, { once: true })
      this.#alarm.ring()
    })
  }

  /** Waiting callers first (round-robin over uids), then used tokens past half their life, which count for no uid. */
  #next(now: number): { readonly subject: JwtSubject; readonly uid?: number } | null {
    const { demand, cache, clock } = this.options
    let best: WantedJwt | null = null
    for (const [key, want] of this.#wants) {
      if (this.#inFlight.has(key)) continue
      if (!best || demand.turnOf(want.uid) < demand.turnOf(best.uid)) best = want
    }
    if (best) return best
    const due = cache.ageing(now).find((subject) => {
      const key = keyOf(subject)
      const failure = this.#failed.get(key)
      return (
        !this.#inFlight.has(key) && (!failure || clock.monotonic() >= failure.until - NEGATIVE_MS + REFRESH_RETRY_MS)
      )
    })
    return due ? { subject: due } : null
  }

  async #issue(subject: JwtSubject, signal: AbortSignal): Promise<void> {
    const { clock, cache, events, onVerified } = this.options
    const key = keyOf(subject)
    this.#inFlight.add(key)
    let result: HeldJwt | AgentError
    const began = clock.monotonic()
    try {
      this.#mustBeNamed(subject)
      result = await issueJwtSvid(subject, this.options, signal)
      // The entry may have been removed or got another SPIFFE ID during the request.
      this.#mustBeNamed(subject)
      this.#failed.delete(key)
      cache.put(subject, result, clock.now(), { handedOut: this.#wants.has(key) })
      onVerified(subject.spiffeId.trustDomain, result.expiresAt)
      events.issued(subject.entryId, result, clock.monotonic() - began)
    } catch (error) {
      result = signal.aborted ? stopping() : asAgentError(error)
      if (!signal.aborted) events.failed(subject.entryId, result.code)
      this.#failed.set(key, { error: result, until: clock.monotonic() + NEGATIVE_MS })
    } finally {
      this.#inFlight.delete(key)
    }
    const want = this.#wants.get(key)
    this.#wants.delete(key)
    if (want) settle(want, result)
  }

  /** Throws `entry.none` unless the entry exists and names the identity. */
  #mustBeNamed({ entryId, spiffeId }: JwtSubject): void {
    if (this.options.store.current.entries.get(entryId)?.spiffeId.equals(spiffeId)) return
    throw new AgentError('entry.none', 'no identity issued: the registration entry is gone')
  }

  #forgetFailures(): void {
    const now = this.options.clock.monotonic()
    for (const [key, { until }] of this.#failed) if (until + REFRESH_RETRY_MS < now) this.#failed.delete(key)
  }
}

function settle(want: WantedJwt, result: HeldJwt | AgentError): void {
  for (const waiter of [...want.waiters]) waiter(result)
}

function keyOf({ entryId, spiffeId, audience }: JwtSubject): string {
  return JSON.stringify([entryId, spiffeId.uri, ...audience])
}

/**
 * Errors of the server and of the network are AgentErrors (test/fuzz/server-json.test.ts); any other is our defect.
 */
function asAgentError(error: unknown): AgentError {
  return error instanceof AgentError
    ? error
    : new AgentError('internal', 'the JWT-SVID could not be issued', { cause: error })
}

function stopping(): AgentError {
  return new AgentError('agent.stopping', 'the agent is stopping; connect again in a moment')
}
