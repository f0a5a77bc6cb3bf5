import type { KeySource } from '../crypto/keys.js'
import { AgentError, isError } from '../errors.js'
import type { WithCommonName } from '../icp/common-name.js'
import type { ControlPlane } from '../icp/control-plane.js'
import type { Entry } from '../identity/entry.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { X509Svid } from '../identity/x509-svid.js'
import { type RenewalThreshold, renewalTime } from '../lib/renewal-time.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { CircuitBreaker } from './circuit-breaker.js'
import type { Demand } from './demand.js'
import { failuresOf, transition } from './entry-state.js'
import { issueSvid } from './issue-x509.js'
import type { Publisher } from './publisher.js'
import { issuedInstead, settled } from './shadows.js'
import type { Snapshot } from './snapshot.js'
import { changesBy } from './state-changes.js'
import type { SvidStore } from './store.js'

export interface IssuanceOptions {
  readonly store: SvidStore
  readonly demand: Pick<Demand, 'unusedFor'>
  readonly controlPlane: Pick<ControlPlane, 'signWorkload' | 'bundle'>
  readonly keys: KeySource
  readonly withCommonName: WithCommonName
  readonly clock: Clock
  readonly random: Random
  readonly events: SyncEvents
  readonly threshold: RenewalThreshold
  /** How long a new issuer is distributed in bundles before its SVIDs are served. */
  readonly trustDelayMs: number
  readonly retryBackoffMs: number
}

/** Issues X.509-SVIDs, and remembers what failed. */
export class Issuance {
  readonly #breaker: CircuitBreaker
  /** By entry, since when (monotonic) its issuance has failed without a success. */
  readonly #failingSince = new Map<string, number>()
  readonly #domains = new IssuedDomains()
  /** When an SVID was last issued (monotonic), whatever the entry. */
  #issuedAt = Number.NEGATIVE_INFINITY

  constructor(
    private readonly options: IssuanceOptions,
    private readonly publisher: Publisher,
  ) {
    this.#breaker = new CircuitBreaker(options.clock, options.random, options)
  }

  /** Milliseconds until the circuit breaker allows an issuance for any entry; 0: now. */
  get opensIn(): number {
    return this.#breaker.opensIn()
  }

  /** One issuance; publishes its success or failure. Rejects with the signal's reason, or on a defect. */
  async issue(entryId: string, agent: SpiffeId, signal: AbortSignal): Promise<void> {
    const { store, clock } = this.options
    const entry = store.current.entries.get(entryId)
    if (!entry) return
    const began = clock.monotonic()
    const options = {
      ...this.options,
      known: this.publisher.history.authorities,
      now: () => clock.now(),
    }
    try {
      const { svid, named } = await issueSvid(entry, agent, options, signal)
      this.#failingSince.delete(entryId)
      this.#issuedAt = clock.monotonic()
      if (this.#isStill(entry)) this.#accept(entry, svid, named, clock.monotonic() - began)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
      if (error.code !== 'icp.rate_limited') this.#failed(entry, error)
    }
  }

  /** The server answers again: issuances that failed without an answer are retried at the next slot. */
  serverReturned(): void {
    this.#breaker.passed()
    this.publisher.changes(
      changesBy(this.options.store.current.states, { kind: 'server-answers' }, this.options.clock.now()),
    )
  }

  /** SVIDs of an earlier run. */
  restored(states: Snapshot['states']): void {
    for (const state of states.values()) if (state.kind === 'issued') this.#domains.seen(state.held.svid)
  }

  /** The entry is gone, or has another identity. */
  forget(entryId: string): void {
    this.#failingSince.delete(entryId)
  }

  #accept(entry: Entry, svid: IssuedByServer['svid'], named: IssuedByServer['named'], ms: number): void {
    const { store, clock, random, threshold, trustDelayMs, events } = this.options
    const now = clock.now()
    this.publisher.learn((history) => history.named(named, now).issued(svid, now))
    // Failures in other trust domains may have been due to the trust domain, and may be over.
    if (this.#domains.seen(svid))
      this.publisher.changes(changesBy(store.current.states, { kind: 'conditions-changed' }, now))
    const before = store.current.states.get(entry.id)
    const renewAt = renewalTime({ ...svid, receivedAt: now, threshold, fraction: random.fraction() })
    // If our clock was ahead when the issuer was first seen, the SVID must not be held back for longer than the delay.
    const servableFrom = Math.min(this.publisher.history.servableFrom(svid.authority, trustDelayMs), now + trustDelayMs)
    const state = transition(before, { kind: 'issued', held: { svid, renewAt }, servableFrom }, now)
    const states = new Map([...store.current.states, [entry.id, state] as const])
    this.publisher.changes(new Map([[entry.id, state], ...settled(entry, entry, store.current, states)]))
    events.svidIssued(entry, svid, { renewal: before?.kind === 'issued', ms })
    if (state.kind === 'issued' && state.next) events.svidHeldBack(entry, state.next.from)
    if (this.#breaker.passed()) this.publisher.changes(changesBy(store.current.states, { kind: 'server-issues' }, now))
  }

  #failed(entry: Entry, failure: AgentError): void {
    if (!this.#isStill(entry)) return
    const { store, clock, random, retryBackoffMs, events, demand } = this.options
    const before = store.current.states.get(entry.id)
    const now = clock.now()
    const since = this.#failingSince.get(entry.id) ?? clock.monotonic()
    this.#failingSince.set(entry.id, since)
    const outlived = this.#issuedAt > since && !this.#breaker.suspicious
    const error = outlived ? this.#domains.explain(entry, failure) : failure
    const waiting = before?.kind !== 'issued' && demand.unusedFor(entry.id, now) === 0
    const { code, message } = error
    const terms = { outlived, waiting, baseMs: retryBackoffMs, fraction: random.fraction() }
    const state = transition(before, { kind: 'failed', code, message, ...terms }, now)
    this.#breaker.failed(entry.id, error.code, outlived)
    const states = new Map([...store.current.states, [entry.id, state] as const])
    const winner = issuedInstead(entry, isError(error, 'entry.shadowed') ? error.details.issued : null, store.current)
    const settlement = winner ? settled(entry, winner, store.current, states) : []
    this.publisher.changes(new Map([[entry.id, state], ...settlement]))
    events.issuanceFailed(entry, error, (failuresOf(state)?.retryAt ?? now) - now)
  }

  /** False if the entry was removed or got another SPIFFE ID during the request. */
  #isStill(entry: Entry): boolean {
    return this.options.store.current.entries.get(entry.id)?.spiffeId.equals(entry.spiffeId) ?? false
  }
}

type IssuedByServer = Awaited<ReturnType<typeof issueSvid>>

/**
 * The trust domains of the SVIDs that the server issues. Some servers accept entries of other trust domains, and then
 * always fail to issue for them without saying why.
 */
export class IssuedDomains {
  readonly #domains = new Set<string>()

  /** True if the trust domain is new. */
  seen({ spiffeId }: Pick<X509Svid, 'spiffeId'>): boolean {
    const another = this.#domains.size > 0 && !this.#domains.has(spiffeId.trustDomain)
    this.#domains.add(spiffeId.trustDomain)
    return another
  }

  /** Replaces a server error by one that names the trust domain, if only other trust domains are issued. */
  explain({ spiffeId }: Pick<Entry, 'spiffeId'>, error: AgentError): AgentError {
    const differs = this.#domains.size > 0 && !this.#domains.has(spiffeId.trustDomain)
    if (!differs || !isError(error, 'icp.server_error')) return error
    const issued = [...this.#domains].sort().join(', ')
    return new AgentError(
      'entry.trust_domain',
      `the SPIFFE ID is in the trust domain ${spiffeId.trustDomain}, and this server issues SVIDs in ${issued} only ` +
        '(a JWT-SVID may be issued for it): register the workload with a SPIFFE ID in that trust domain',
      { cause: error, details: error.details },
    )
  }
}
