import { AgentError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Authority } from '../identity/trust-bundle.js'
import { usableAuthorities } from '../identity/usable-authorities.js'
import type { AuthorityBook, BookPage } from './authority-history.js'
import { EntryIndex } from './entry-index.js'
import { EntrySync, type EntrySyncOptions } from './entry-sync.js'
import { ExpiredSvids } from './expired-svids.js'
import { Issuance, type IssuanceOptions } from './issuance.js'
import { KEEP_MS } from './plan.js'
import { Publisher, type PublisherOptions } from './publisher.js'
import { Revocations } from './revocations.js'
import { withShadows } from './shadows.js'
import type { Snapshot } from './snapshot.js'
import { changesBy, issuersInUse, tick } from './state-changes.js'

export interface SyncOptions
  extends Omit<PublisherOptions, 'clock'>,
    Omit<IssuanceOptions, 'demand' | 'controlPlane'>,
    Omit<EntrySyncOptions, 'demand' | 'controlPlane'> {
  readonly demand: IssuanceOptions['demand'] & EntrySyncOptions['demand']
  readonly controlPlane: ControlPlane
}

/** The wall clock was set back when it lost so much against the one that never jumps. */
const SET_BACK_MS = 2_000
/** A clock that jumped ahead may be set right soon: for so long no authority is taken for one that had its time. */
const JUMP_IN_DOUBT_MS = 300_000

/** The jobs of the server flow: each does its request, and publishes what came of it. */
export class Sync {
  readonly revocations: Revocations
  readonly #publisher: Publisher
  readonly #issuance: Issuance
  readonly #entries: EntrySync
  /** Wall minus monotonic time, as of the last tick. */
  #clockOffset: number
  /** By the clock that never jumps. */
  #pruneFrom = Number.NEGATIVE_INFINITY
  readonly #expired: ExpiredSvids

  constructor(private readonly options: SyncOptions) {
    this.#clockOffset = options.clock.now() - options.clock.monotonic()
    this.#expired = new ExpiredSvids(options.clock)
    this.revocations = new Revocations(options)
    this.#publisher = new Publisher(options)
    this.#issuance = new Issuance(options, this.#publisher)
    this.#entries = new EntrySync(options, {
      publisher: this.#publisher,
      issuance: this.#issuance,
      revocations: this.revocations,
    })
  }

  /** Milliseconds until an issuance is worth trying, whichever entry it is for; 0: now. */
  get issuesIn(): number {
    return this.#issuance.opensIn
  }

  get book(): AuthorityBook {
    return this.#publisher.book
  }

  /** Wall-clock time of the last sync that succeeded. */
  get lastSync(): number | null {
    return this.#entries.lastAt
  }

  /** Entries that the server sent and nobody can use, with the reason. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#entries.rejected
  }

  /**
   * What an earlier run knew: served from now on, and renewed like everything else. Where entries have come from the
   * server meanwhile, only SVIDs of theirs that are still missing are taken over; what this run has learnt of
   * authorities and trust domains stays.
   */
  restore(snapshot: Pick<Snapshot, 'entries' | 'states' | 'jwtKeys'>, book: BookPage): void {
    const { store } = this.options
    const { current } = store
    const entries = current.synced ? current.entries : snapshot.entries
    const fitting = [...snapshot.states].filter(
      ([id]) => !current.states.has(id) && entries.get(id)?.spiffeId.uri === snapshot.entries.get(id)?.spiffeId.uri,
    )
    this.#publisher.learn((known) => known.merged(book))
    this.#issuance.restored(snapshot.states)
    store.publish(
      {
        synced: true,
        entries,
        index: current.synced ? current.index : new EntryIndex(entries.values()),
        states: withShadows(entries, new Map([...current.states, ...fitting])),
        jwtKeys: current.jwtKeys.length > 0 ? current.jwtKeys : snapshot.jwtKeys,
      },
      { entries: 'all', bundles: false },
    )
    this.tick()
  }

  /** What time alone changes: expiry, held-back SVIDs, authorities that had their time. Returns when to call again. */
  tick(): number {
    const { store, clock, events, demand } = this.options
    const now = clock.now()
    this.#noticeClock()
    this.#expired.see(store.current.states)
    this.#publisher.changes(this.#expired.back(store.current, this.book))
    const { changed, nextAt } = tick(store.current.states, now)
    for (const [id, state] of changed) {
      const entry = store.current.entries.get(id)
      if (state.kind === 'wanted' && entry && demand.unusedFor(id, now) < KEEP_MS) events.svidExpired(entry)
    }
    this.#expired.out(store.current.states, changed)
    this.#publisher.changes(changed)
    if (clock.monotonic() >= this.#pruneFrom)
      this.#publisher.learn((book) => book.pruned(now, () => issuersInUse(store.current.states)))
    return nextAt
  }

  syncEntries(agent: SpiffeId, signal: AbortSignal): Promise<void> {
    return this.#entries.sync(agent, signal)
  }

  issue(entryId: string, agent: SpiffeId, signal: AbortSignal): Promise<void> {
    return this.#issuance.issue(entryId, agent, signal)
  }

  /** The second source of authorities; most servers publish none, which changes nothing. */
  async pollBundle(signal: AbortSignal): Promise<void> {
    const { controlPlane, events } = this.options
    try {
      const { authorities, skipped } = usableAuthorities(await controlPlane.bundle(signal))
      events.authoritiesSkipped(skipped)
      const [odd] = skipped
      if (odd && authorities.length === 0) throw odd.error
      events.bundlePolled()
      this.#publisher.named(authorities)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
      if (error.code !== 'icp.rate_limited') events.bundlePollFailed(error)
    }
  }

  /** The server answers again: what failed for want of an answer is tried at the next slot. */
  serverReturned(): void {
    this.options.pace.soon()
    this.#issuance.serverReturned()
  }

  /** Authorities that came with the agent's own certificate. */
  trust(authorities: readonly Authority[]): void {
    this.#publisher.named(authorities)
  }

  /** A JWT-SVID of the trust domain was issued and verified. */
  spokeFor(trustDomain: string, until: number): void {
    this.#publisher.learn((book) => book.spokeFor(trustDomain, until))
  }

  /** A wall clock that was set back must not make anything wait for longer than it was to; nor one ahead end trust. */
  #noticeClock(): void {
    const { clock, store } = this.options
    const offset = clock.now() - clock.monotonic()
    const lost = this.#clockOffset - offset
    this.#clockOffset = offset
    if (lost < -SET_BACK_MS) this.#pruneFrom = clock.monotonic() + JUMP_IN_DOUBT_MS
    if (lost <= SET_BACK_MS) return
    const event = { kind: 'clock-set-back', byMs: lost } as const
    this.#publisher.changes(changesBy(store.current.states, event, clock.now()))
  }
}
