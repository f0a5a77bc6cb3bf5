import type { KeySource } from '../crypto/keys.js'
import { AgentError, codeOf } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { parseAuthority } from '../identity/authority.js'
import type { Entry } from '../identity/entry.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Authority } from '../identity/trust-bundle.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { type RenewalThreshold, renewalTime } from '../rotation/renewal-time.js'
import { AuthorityBook, type BookPage } from '../store/authority-book.js'
import type { Demand } from '../store/demand.js'
import { EntryIndex } from '../store/entry-index.js'
import type { IdentityStore } from '../store/identity-store.js'
import type { Snapshot } from '../store/snapshot.js'
import { type Changes, caughtUp, setBack } from './catch-up.js'
import { newestAuthority, renewEarly } from './early-renewal.js'
import { replaceEntries, withdrawsEverything } from './entries.js'
import { Gate } from './gate.js'
import { issueSvid, type WithCommonName } from './issue-svid.js'
import { issued, tick } from './outcomes.js'
import { KEEP_MS } from './plan.js'
import { afterFailure, retryAtOf } from './retry.js'
import { Revocations } from './revocations.js'
import type { SyncPace } from './sync-pace.js'
import { isGone, telling, WithdrawalDoubt } from './withdrawal.js'

export interface SyncOptions {
  readonly store: IdentityStore
  readonly demand: Demand
  readonly pace: SyncPace
  readonly controlPlane: ControlPlane
  readonly keys: KeySource
  readonly withCommonName: WithCommonName
  readonly clock: Clock
  readonly random: Random
  readonly events: SyncEvents
  readonly threshold: RenewalThreshold
  /** The account id: the trust domain of agents. */
  readonly account: string
  /** How long a new issuer is shown in bundles before an SVID of its is. */
  readonly trustDelayMs: number
  readonly retryBackoffMs: number
  readonly revokeRemoved: boolean
}

/** The wall clock was set back when it lost so much against the one that never jumps. */
const SET_BACK_MS = 2_000

/** The jobs of the server flow: each does its request, and publishes what came of it. */
export class Sync {
  #book: AuthorityBook
  /** Wall minus monotonic time, as of the last tick. */
  #clockOffset: number
  #lastSync: number | null = null
  readonly revocations: Revocations
  readonly #rejected = new Map<string, string>()
  readonly #doubt: WithdrawalDoubt
  readonly #gate: Gate

  constructor(private readonly options: SyncOptions) {
    const { clock, random, retryBackoffMs } = options
    this.#book = AuthorityBook.empty(options.account)
    this.#clockOffset = clock.now() - clock.monotonic()
    this.revocations = new Revocations(options)
    this.#doubt = new WithdrawalDoubt(clock)
    this.#gate = new Gate(clock, random, retryBackoffMs)
  }

  /** Milliseconds until an issuance is worth trying, whichever entry it is for; 0: now. */
  get issuesIn(): number {
    return this.#gate.opensIn()
  }

  get book(): AuthorityBook {
    return this.#book
  }

  /** Wall-clock time of the last sync that succeeded. */
  get lastSync(): number | null {
    return this.#lastSync
  }

  /** Entries that the server sent and nobody can use, with the reason. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected
  }

  /**
   * What an earlier run knew: served from now on, and renewed like everything else. Where entries have come from the
   * server meanwhile, only SVIDs of theirs that are still missing are taken over.
   */
  restore(snapshot: Pick<Snapshot, 'entries' | 'states' | 'jwtKeys'>, book: BookPage): void {
    const { store, account } = this.options
    const { current } = store
    const entries = current.synced ? current.entries : snapshot.entries
    const fitting = [...snapshot.states].filter(
      ([id]) => !current.states.has(id) && entries.get(id)?.spiffeId.uri === snapshot.entries.get(id)?.spiffeId.uri,
    )
    this.#publishBook(new AuthorityBook(account, book).named(this.#book.authorities, this.options.clock.now()))
    store.publish(
      {
        synced: true,
        entries,
        index: current.synced ? current.index : new EntryIndex(entries.values()),
        states: new Map([...current.states, ...fitting]),
        jwtKeys: current.jwtKeys.length > 0 ? current.jwtKeys : snapshot.jwtKeys,
      },
      { entries: 'all', bundles: false },
    )
    this.tick()
  }

  /** What time alone changes: expiry, held-back SVIDs, authorities that had their time. Returns when to call again. */
  tick(): number {
    const { store, clock, events } = this.options
    const now = clock.now()
    this.#noticeClock()
    const { changed, nextAt } = tick(store.current.states, now)
    if (changed.size > 0) {
      for (const [id, state] of changed) {
        const entry = store.current.entries.get(id)
        if (state.kind === 'wanted' && entry && this.options.demand.unusedFor(id, now) < KEEP_MS)
          events.svidExpired(entry)
      }
      this.#publishChanges(changed)
    }
    this.#publishBook(this.#book.pruned(now))
    return nextAt
  }

  async syncEntries(agent: SpiffeId, signal: AbortSignal): Promise<void> {
    const { controlPlane, store, events, pace, clock } = this.options
    try {
      const answer = await controlPlane.entries(agent, signal)
      this.#lastSync = clock.now()
      if (withdrawsEverything(store.current.entries, answer.entries)) {
        if (!(await this.#allGone(agent, signal))) return
      }
      this.#doubt.settled()
      this.#noteRejected(answer.rejected)
      this.#apply(answer.entries)
      pace.synced()
    } catch (error) {
      if (codeOf(error) !== 'icp.rate_limited') pace.failed()
      if (!(error instanceof AgentError)) throw error
      if (error.code !== 'icp.rate_limited') events.syncFailed(error)
    }
  }

  async issue(entryId: string, agent: SpiffeId, signal: AbortSignal): Promise<void> {
    const { store, clock, events, random, threshold } = this.options
    const entry = store.current.entries.get(entryId)
    if (!entry) return
    const began = clock.monotonic()
    try {
      const { svid, named } = await issueSvid(
        entry,
        agent,
        { ...this.options, known: this.#book.authorities, now: () => clock.now() },
        signal,
      )
      // The entry may have gone or changed its name while the server worked.
      if (store.current.entries.get(entryId)?.spiffeId.uri !== entry.spiffeId.uri) return
      const now = clock.now()
      this.#publishBook(this.#book.named(named, now).issued(svid, now))
      const before = store.current.states.get(entryId)
      const renewAt = renewalTime({ ...svid, receivedAt: now, threshold, fraction: random.fraction() })
      const { trustDelayMs } = this.options
      // A clock that was ahead when the issuer was first seen must not hold it back for longer.
      const from = Math.min(this.#book.servableFrom(svid.authority, trustDelayMs), now + trustDelayMs)
      const state = issued(before, { svid, renewAt }, now, from)
      this.#publishChanges(new Map([[entryId, state]]))
      events.svidIssued(entry, svid, { renewal: before?.kind === 'issued', ms: clock.monotonic() - began })
      if (state.kind === 'issued' && state.next) events.svidHeldBack(entry, state.next.from)
      if (this.#gate.passed()) this.#publishChanges(caughtUp(store.current.states, { away: false }))
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      if (error.code === 'icp.rate_limited' || signal.aborted) return
      this.#failed(entry, error)
    }
  }

  /** The second source of authorities; some servers answer 404 or 500, which changes nothing. */
  async pollBundle(signal: AbortSignal): Promise<void> {
    const { controlPlane, events, clock } = this.options
    try {
      const ders = await controlPlane.bundle(signal)
      this.#publishBook(this.#book.named(ders.map(parseAuthority), clock.now()))
      events.bundlePolled()
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      if (error.code !== 'icp.rate_limited') events.bundlePollFailed(error)
    }
  }

  /** The server answers again: what failed for want of an answer is tried at the next slot. */
  serverReturned(): void {
    this.#gate.passed()
    this.options.pace.soon()
    this.#publishChanges(caughtUp(this.options.store.current.states, { away: true }))
  }

  /** Authorities that came with the agent's own certificate. */
  trust(authorities: readonly Authority[]): void {
    this.#publishBook(this.#book.named(authorities, this.options.clock.now()))
  }

  /** A JWT-SVID of the trust domain was issued and verified. */
  spokeFor(trustDomain: string, until: number): void {
    this.#publishBook(this.#book.spokeFor(trustDomain, until))
  }

  #apply(entries: readonly Entry[]): void {
    const { store, events, demand, revokeRemoved } = this.options
    const replacement = replaceEntries(store.current, entries)
    events.entriesSynced({
      total: entries.length,
      added: replacement?.added ?? 0,
      changed: replacement?.changed ?? 0,
      removed: replacement?.removed.length ?? 0,
    })
    if (!replacement) return
    store.publish(replacement.parts, { entries: 'all', bundles: false })
    demand.prune((id, unusedFor) => store.current.entries.has(id) && unusedFor < this.#book.page.longestLifeMs * 2)
    if (revokeRemoved) this.revocations.add(replacement.orphaned)
  }

  #failed(entry: Entry, error: AgentError): void {
    const { store, clock, random, retryBackoffMs, events, demand } = this.options
    const before = store.current.states.get(entry.id)
    const now = clock.now()
    const waiting = before?.kind !== 'issued' && demand.unusedFor(entry.id, now) === 0
    const state = afterFailure(before, error, { now, fraction: random.fraction(), baseMs: retryBackoffMs, waiting })
    this.#gate.failed(entry.id, error.code)
    this.#publishChanges(new Map([[entry.id, state]]))
    events.issuanceFailed(entry, error, (retryAtOf(state) ?? now) - now)
  }

  /** True when the entries are gone indeed; false while that is in doubt, and everything stays as it is. */
  async #allGone(agent: SpiffeId, signal: AbortSignal): Promise<boolean> {
    const { store, events, pace } = this.options
    const next = this.#doubt.next()
    if (next === 'read-again') {
      events.withdrawalDoubted(store.current.entries.size)
      pace.again()
      return false
    }
    const entry = next === 'ask' ? telling(store.current.entries, store.current.states) : null
    if (next === 'ask' && !entry) return true
    if (entry) await this.issue(entry.id, agent, signal)
    const gone = entry !== null && isGone(store.current.states.get(entry.id))
    if (!gone) {
      if (entry) events.withdrawalRefuted(store.current.entries.size)
      pace.synced()
    }
    return gone
  }

  /** A wall clock that was set back must not make anything wait for longer than it was to. */
  #noticeClock(): void {
    const { clock, store } = this.options
    const offset = clock.now() - clock.monotonic()
    const lost = this.#clockOffset - offset
    this.#clockOffset = offset
    if (lost > SET_BACK_MS) this.#publishChanges(setBack(store.current.states, lost))
  }

  #publishChanges(changes: Changes): void {
    if (changes.size === 0) return
    const { store } = this.options
    store.publish(
      { states: new Map([...store.current.states, ...changes]) },
      { entries: new Set(changes.keys()), bundles: false },
    )
  }

  #publishBook(book: AuthorityBook): void {
    if (book === this.#book) return
    const { store, events } = this.options
    const before = store.current.bundles
    const [last, newest] = [newestAuthority(this.#book), newestAuthority(book)]
    this.#book = book
    if (last !== null && newest !== null && newest !== last) {
      this.#publishChanges(renewEarly(store.current.states, newest, this.options.clock.now()))
    }
    const bundles = book.bundles(before)
    if (bundles === before) return
    events.bundlesChanged(book.authorities, bundles.size)
    store.publish({ bundles }, { entries: new Set(), bundles: true })
  }

  #noteRejected(rejected: readonly { readonly id: string; readonly reason: string }[]): void {
    for (const entry of rejected)
      if (this.#rejected.get(entry.id) !== entry.reason) this.options.events.entryRejected(entry)
    this.#rejected.clear()
    for (const { id, reason } of rejected) this.#rejected.set(id, reason)
  }
}
