import { AgentError, codeOf } from '../errors.js'
import type { Budget } from '../icp/budget.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { type JwtKey, verifyJwtSvid } from '../identity/jwt-svid.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { JwtEvents } from '../observability/jwt-events.js'
import type { Clock } from '../ports/clock.js'
import { Alarm } from '../rotation/alarm.js'
import type { Demand } from '../store/demand.js'
import type { IdentityStore } from '../store/identity-store.js'
import { fresh, type HeldJwt, type JwtCache, type JwtSubject } from '../store/jwt-cache.js'

export interface JwtSvidsOptions {
  readonly store: IdentityStore
  readonly demand: Pick<Demand, 'turnOf' | 'tookTurn'>
  readonly cache: JwtCache
  readonly budget: Budget
  readonly controlPlane: Pick<ControlPlane, 'issueJwt'>
  /** The keys in force; `refresh` asks the server for them anew. */
  readonly keys: { current(): readonly JwtKey[]; refresh(signal: AbortSignal): Promise<void> }
  readonly clock: Clock
  readonly events: JwtEvents
  /** A token of this trust domain was issued and verified: its bundle is served. */
  readonly onVerified: (trustDomain: string, until: number) => void
}

interface Want {
  readonly subject: JwtSubject
  readonly uid: number
  readonly waiters: Set<(result: HeldJwt | AgentError) => void>
}

/** A token that is good but ageing is handed out after waiting so long for its successor. */
const PATIENCE_MS = 1_000
const CONCURRENCY = 4
/** After a failure the same token is not asked for again so soon: callers that come back get the same answer. */
const NEGATIVE_MS = 2_000
/** Failed refreshes of ageing tokens are spaced so far apart. */
const REFRESH_RETRY_MS = 30_000

/**
 * JWT-SVIDs on demand: from the cache while fresh, else asked of the server, one request for all who want the same,
 * callers before refreshes. Callers only wait; the loop asks.
 */
export class JwtSvids {
  readonly #wants = new Map<string, Want>()
  readonly #failed = new Map<string, { readonly error: AgentError; readonly until: number }>()
  readonly #inFlight = new Set<string>()
  readonly #alarm: Alarm

  constructor(private readonly options: JwtSvidsOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  /**
   * The token for a subject, within `deadlineMs`. Throws what the server said (`icp.*`), or `svid.pending` at the
   * deadline; an ageing token that is still good is better than either.
   */
  async want(subject: JwtSubject, uid: number, deadlineMs: number): Promise<HeldJwt> {
    const { cache, clock } = this.options
    const held = cache.use(subject, clock.now())
    if (held && fresh(held, clock.now())) return held
    const key = keyOf(subject)
    const failure = this.#failed.get(key)
    if (failure && clock.monotonic() < failure.until) {
      if (held) return held
      throw failure.error
    }
    const result = await this.#wait(key, subject, uid, held ? Math.min(PATIENCE_MS, deadlineMs) : deadlineMs)
    if (!(result instanceof AgentError)) return result
    if (held && clock.now() < held.expiresAt) return held
    throw result
  }

  /** Asks the server while there is somebody to ask for. Ends when the signal aborts. */
  async run(agent: () => SpiffeId | null, signal: AbortSignal): Promise<void> {
    const { clock, cache, budget, store } = this.options
    const running = new Set<Promise<void>>()
    try {
      for (;;) {
        const now = clock.now()
        cache.prune((entryId) => store.current.entries.has(entryId), now)
        this.#forgetFailures()
        const next = agent() && running.size < CONCURRENCY ? this.#next(now) : null
        const opensIn = next ? budget.opensIn('open') : Number.POSITIVE_INFINITY
        if (next && opensIn === 0) {
          budget.take('open')
          const task = this.#issue(next, signal).finally(() => {
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

  #wait(key: string, subject: JwtSubject, uid: number, deadlineMs: number): Promise<HeldJwt | AgentError> {
    return new Promise((resolve) => {
      const want = this.#wants.get(key) ?? { subject, uid, waiters: new Set() }
      this.#wants.set(key, want)
      const settled = (result: HeldJwt | AgentError) => {
        want.waiters.delete(settled)
        if (want.waiters.size === 0 && this.#wants.get(key) === want) this.#wants.delete(key)
        late[Symbol.dispose]()
        resolve(result)
      }
      const late = this.options.clock.after(deadlineMs, () =>
        settled(new AgentError('svid.pending', 'the JWT-SVID has not been issued yet; try again')),
      )
      want.waiters.add(settled)
      this.#alarm.ring()
    })
  }

  /** Whoever waits comes first, uids in turn; then ageing tokens in use. */
  #next(now: number): JwtSubject | null {
    const { demand, cache, clock } = this.options
    let best: Want | null = null
    for (const [key, want] of this.#wants) {
      if (this.#inFlight.has(key)) continue
      if (!best || demand.turnOf(want.uid) < demand.turnOf(best.uid)) best = want
    }
    if (best) {
      demand.tookTurn(best.uid)
      return best.subject
    }
    const due = cache.ageing(now).find((subject) => {
      const key = keyOf(subject)
      const failure = this.#failed.get(key)
      return (
        !this.#inFlight.has(key) && (!failure || clock.monotonic() >= failure.until - NEGATIVE_MS + REFRESH_RETRY_MS)
      )
    })
    return due ?? null
  }

  async #issue(subject: JwtSubject, signal: AbortSignal): Promise<void> {
    const { store, clock, cache, events } = this.options
    const key = keyOf(subject)
    this.#inFlight.add(key)
    let result: HeldJwt | AgentError
    const began = clock.monotonic()
    try {
      const entry = store.current.entries.get(subject.entryId)
      if (!entry) throw new AgentError('entry.none', 'no identity: the registration entry is gone')
      result = await this.#ask(entry.spiffeId, subject.audience, signal)
      this.#failed.delete(key)
      if (store.current.entries.get(subject.entryId)?.spiffeId.uri === entry.spiffeId.uri)
        cache.put(subject, result, clock.now())
      this.options.onVerified(entry.spiffeId.trustDomain, result.expiresAt)
      events.issued(entry, clock.monotonic() - began)
    } catch (error) {
      const failure = signal.aborted ? stopping() : asAgentError(error)
      if (!signal.aborted) events.failed(subject.entryId, failure.code)
      this.#failed.set(key, { error: failure, until: clock.monotonic() + NEGATIVE_MS })
      result = failure
    } finally {
      this.#inFlight.delete(key)
    }
    const want = this.#wants.get(key)
    this.#wants.delete(key)
    if (want) settle(want, result)
  }

  /** The server's answer, verified like anybody's token: ours to hand out only if everybody can accept it. */
  async #ask(spiffeId: SpiffeId, audience: readonly string[], signal: AbortSignal): Promise<HeldJwt> {
    const { controlPlane, keys, clock } = this.options
    const { token } = await controlPlane.issueJwt({ spiffeId, audience }, signal)
    const judge = async () => {
      const now = clock.now()
      const [first = ''] = audience
      const verified = await verifyJwtSvid(token, { audience: first, keys: keys.current(), now })
      const granted = [verified.claims.aud ?? []].flat()
      if (!verified.spiffeId.equals(spiffeId) || !audience.every((one) => granted.includes(one))) {
        throw new AgentError('icp.bad_response', 'the server issued a JWT-SVID for another identity or audience')
      }
      return { spiffeId, token, issuedAt: Math.min(verified.issuedAt, now), expiresAt: verified.expiresAt }
    }
    try {
      return await judge()
    } catch (error) {
      if (codeOf(error) !== 'jwt.invalid') throw error
      // The key may be newer than the bundle that we know.
      await keys.refresh(signal)
      return await judge().catch((again: unknown) => {
        throw codeOf(again) === 'jwt.invalid'
          ? new AgentError('icp.bad_response', `the server issued what is ${(again as AgentError).message}`)
          : again
      })
    }
  }

  #forgetFailures(): void {
    const now = this.options.clock.monotonic()
    for (const [key, { until }] of this.#failed) if (until + REFRESH_RETRY_MS < now) this.#failed.delete(key)
  }
}

function settle(want: Want, result: HeldJwt | AgentError): void {
  for (const waiter of [...want.waiters]) waiter(result)
}

function keyOf({ entryId, audience }: JwtSubject): string {
  return JSON.stringify([entryId, ...audience])
}

function asAgentError(error: unknown): AgentError {
  return error instanceof AgentError
    ? error
    : new AgentError('internal', 'the JWT-SVID could not be issued', { cause: error })
}

function stopping(): AgentError {
  return new AgentError('agent.stopping', 'the agent is stopping; connect again in a moment')
}
