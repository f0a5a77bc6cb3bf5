import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Demand } from './demand.js'
import { ExpiredSvids } from './expired-svids.js'
import { KEEP_MS } from './plan.js'
import type { Publisher } from './publisher.js'
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
