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

/** The wall clock was set back when it lost so much against the one that never jumps. */
const SET_BACK_MS = 2_000
/** A clock that jumped ahead may be set right soon: for so long no authority is taken for one that had its time. */
const JUMP_IN_DOUBT_MS = 300_000

export interface PassingTimeOptions {
  readonly store: SvidStore
  readonly clock: Clock
  readonly events: Pick<SyncEvents, 'svidExpired'>
  readonly demand: Pick<Demand, 'unusedFor'>
}

/** What time alone changes: expiry, held-back SVIDs, authorities that had their time, a clock that jumps. */
export class PassingTime {
  /** Wall minus monotonic time, as of the last tick. */
  #clockOffset: number
  /** By the clock that never jumps. */
  #pruneFrom = Number.NEGATIVE_INFINITY
  readonly #expired: ExpiredSvids

  constructor(
    private readonly options: PassingTimeOptions,
    private readonly publisher: Publisher,
  ) {
    this.#clockOffset = options.clock.now() - options.clock.monotonic()
    this.#expired = new ExpiredSvids(options.clock)
  }

  /** Publishes what has changed by now. Returns when to call again, by the wall clock. */
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

  /** A wall clock that was set back must not make anything wait for longer than it was to; nor one ahead end trust. */
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
 * SVIDs that went out of service because the wall clock says that they have expired. A clock that jumped ahead, and is
 * set right a moment later, must not cost a node every identity at once: whatever has not lived its life by the clock
 * that never jumps comes back. A clock that is set back brings nothing back that had.
 */
export class ExpiredSvids {
  /** The monotonic time at which an SVID ends, as reckoned when it was first seen. */
  readonly #endsAt = new WeakMap<X509Svid, number>()
  readonly #out = new Map<string, RenewableSvid>()

  constructor(private readonly clock: Pick<Clock, 'now' | 'monotonic'>) {}

  /** Takes note of SVIDs that are new. Call it before what time changes is published. */
  see(states: ReadonlyMap<string, EntryState>): void {
    const ahead = this.clock.monotonic() - this.clock.now()
    for (const state of states.values()) {
      if (state.kind !== 'issued') continue
      for (const { svid } of state.next ? [state.held, state.next.held] : [state.held]) {
        if (!this.#endsAt.has(svid)) this.#endsAt.set(svid, svid.notAfter + ahead)
      }
    }
  }

  /** These states take the place of those: what is no longer issued went out of service. */
  out(before: ReadonlyMap<string, EntryState>, changes: Changes): void {
    for (const [id, state] of changes) {
      const was = before.get(id)
      if (state.kind !== 'issued' && was?.kind === 'issued') this.#out.set(id, newestOf(was))
    }
  }

  /** What is valid again, for entries that still name that identity and have got nothing else since. */
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
