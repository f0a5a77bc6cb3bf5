import type { X509Svid } from '../identity/x509-svid.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { AuthorityHistory } from './authority-history.js'
import type { Demand } from './demand.js'
import { type EntryState, newestOf, type RenewableSvid, transition } from './entry-state.js'
import { KEEP_MS } from './plan.js'
import type { Publisher } from './publisher.js'
import type { Snapshot } from './snapshot.js'
import type { Changes } from './state-changes.js'
import { changesBy, issuersInUse, tick } from './state-changes.js'
import type { SvidStore } from './store.js'

/** If the wall clock loses this much against the monotonic clock, it was set back. */
const SET_BACK_MS = 2_000
/** After a jump ahead, which may be corrected soon, no authority is removed for this time. */
const JUMP_IN_DOUBT_MS = 300_000

export interface PassingTimeOptions {
  readonly store: SvidStore
  readonly clock: Clock
  readonly events: Pick<SyncEvents, 'svidExpired'>
  readonly demand: Pick<Demand, 'unusedFor'>
}

/** Changes by time alone: expiry, held-back SVIDs, authorities to remove, a clock that jumps. */
export class PassingTime {
  /** Wall minus monotonic time at the last tick. */
  #clockOffset: number
  /** By the monotonic clock. */
  #pruneFrom = Number.NEGATIVE_INFINITY
  readonly #expired: ExpiredSvids

  constructor(
    private readonly options: PassingTimeOptions,
    private readonly publisher: Publisher,
  ) {
    this.#clockOffset = options.clock.now() - options.clock.monotonic()
    this.#expired = new ExpiredSvids(options.clock)
  }

  /** Publishes what has changed until now. Returns when to call it again, by the wall clock. */
  tick(): number {
    const { store, clock, events, demand } = this.options
    const { publisher } = this
    const now = clock.now()
    this.#noticeClock()
    this.#expired.see(store.current.states)
    publisher.changes(this.#expired.back(store.current, publisher.history))
    const { changed, nextAt } = tick(store.current.states, now)
    for (const [id, state] of changed) {
      const entry = store.current.entries.get(id)
      if (state.kind === 'wanted' && entry && demand.unusedFor(id, now) < KEEP_MS) events.svidExpired(entry)
    }
    this.#expired.out(store.current.states, changed)
    publisher.changes(changed)
    if (clock.monotonic() >= this.#pruneFrom)
      publisher.learn((history) => history.pruned(now, () => issuersInUse(store.current.states)))
    return nextAt
  }

  /** A clock that was set back must not prolong waits, and one that jumped ahead must not end trust. */
  #noticeClock(): void {
    const { clock, store } = this.options
    const offset = clock.now() - clock.monotonic()
    const lost = this.#clockOffset - offset
    this.#clockOffset = offset
    if (lost < -SET_BACK_MS) this.#pruneFrom = clock.monotonic() + JUMP_IN_DOUBT_MS
    if (lost <= SET_BACK_MS) return
    const event = { kind: 'clock-set-back', byMs: lost } as const
    this.publisher.changes(changesBy(store.current.states, event, clock.now()))
  }
}

/**
 * SVIDs that are no longer served because they have expired by the wall clock. A clock that jumps ahead and is corrected
 * a moment later must not cost a node all its SVIDs: an SVID that has not expired by the monotonic clock is served again.
 * Setting the clock back does not revive an SVID that has.
 */
export class ExpiredSvids {
  /** The monotonic time of an SVID's expiry, computed when it was first seen. */
  readonly #endsAt = new WeakMap<X509Svid, number>()
  readonly #out = new Map<string, RenewableSvid>()

  constructor(private readonly clock: Pick<Clock, 'now' | 'monotonic'>) {}

  /** Records new SVIDs. Call it before changes by time are published. */
  see(states: ReadonlyMap<string, EntryState>): void {
    const ahead = this.clock.monotonic() - this.clock.now()
    for (const state of states.values()) {
      if (state.kind !== 'issued') continue
      for (const { svid } of state.next ? [state.held, state.next.held] : [state.held]) {
        if (!this.#endsAt.has(svid)) this.#endsAt.set(svid, svid.notAfter + ahead)
      }
    }
  }

  /** Records SVIDs that these changes stop serving. */
  out(before: ReadonlyMap<string, EntryState>, changes: Changes): void {
    for (const [id, state] of changes) {
      const was = before.get(id)
      if (state.kind !== 'issued' && was?.kind === 'issued') this.#out.set(id, newestOf(was))
    }
  }

  /** SVIDs that are valid again, for entries that still name that identity and got no other SVID since. */
  back(
    { entries, states }: Pick<Snapshot, 'entries' | 'states'>,
    { authorities }: Pick<AuthorityHistory, 'authorities'>,
  ): Changes {
    const changes = new Map<string, EntryState>()
    const now = this.clock.now()
    for (const [id, held] of this.#out) {
      const { svid } = held
      const over = this.clock.monotonic() >= (this.#endsAt.get(svid) ?? 0)
      const state = states.get(id)
      const taken = state?.kind === 'issued'
      if (over || taken || !entries.get(id)?.spiffeId.equals(svid.spiffeId)) this.#out.delete(id)
      else if (now < svid.notAfter && authorities.some(({ fingerprint }) => fingerprint === svid.authority)) {
        changes.set(id, transition(state, { kind: 'valid-again', held }))
        this.#out.delete(id)
      }
    }
    return changes
  }
}
