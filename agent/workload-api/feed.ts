import { randomBytes } from 'node:crypto'
import type { Selectors } from '../identity/selector.js'
import type { ApiEvents, Denial, NearEntry } from '../observability/api-events.js'
import type { Demand, Use } from '../svids/demand.js'
import { type Match, NO_MATCH } from '../svids/entry-index.js'
import type { Change } from '../svids/snapshot.js'
import type { IdentityStore, Watch } from '../svids/store.js'
import type { Circumstances, Refusal } from './decision.js'
import { lostMatches } from './inherited-labels.js'
import { nearestEntries } from './nearest-entries.js'
import type { Workload } from './workload.js'

export interface FeedOptions {
  readonly store: IdentityStore
  readonly demand: Demand
  /** At most so many identities a workload. */
  readonly maxIdentities: number
  readonly events: Pick<ApiEvents, 'truncated' | 'labelOfImage'>
}

/** How many entries are named that a denied caller came near to. */
const MAX_NEAREST = 5

/** A denial, and what it was about: selectors that are the same object are the same selectors. */
interface Denied {
  readonly code: string
  readonly selectors: unknown
  readonly id: string
}

/**
 * What all open calls of one workload have in common: its match against the entries, kept up to date, and its demand.
 * It is alive as long as somebody listens.
 */
export class Feed {
  #match: Match = NO_MATCH
  #stale = true
  #use: Use | null = null
  #watch: Watch | null = null
  #state: Disposable | null = null
  readonly #listeners = new Set<() => void>()
  #demanding = 0
  #denial: Denied | null = null

  constructor(
    readonly workload: Workload,
    private readonly options: FeedOptions,
  ) {}

  /**
   * Calls back when something changed that a verdict may depend on. `demand`: while it listens, X.509-SVIDs of the
   * matched entries are wanted.
   */
  listen(changed: () => void, { demand }: { readonly demand: boolean } = { demand: true }): Disposable {
    const listener = () => changed()
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) this.#begin()
    if (demand) this.#demand(1)
    return {
      [Symbol.dispose]: () => {
        if (!this.#listeners.delete(listener)) return
        if (demand) this.#demand(-1)
        if (this.#listeners.size === 0) this.#end()
      },
    }
  }

  /**
   * The selectors for a verdict, as of now: the process is looked at each time, the match is redone when it may differ (each
   * time where nobody listens).
   */
  circumstances(): Pick<Circumstances, 'refusal' | 'attesting' | 'waitMs' | 'match' | 'snapshot'> {
    if (this.#stale) this.#rematch()
    const { state } = this.workload
    return {
      refusal: this.#refusal(),
      attesting: state.kind === 'pending',
      waitMs: state.kind === 'attested' ? state.waitMs : 0,
      match: this.#match,
      snapshot: this.options.store.current,
    }
  }

  /**
   * What there is to say of a denial. One and the same denial of the same selectors has one id, however often a client asks
   * again; `first` when it is new.
   */
  denial({ code }: Refusal): Denial {
    const { state, caller } = this.workload
    const attested = state.kind === 'attested' ? state : null
    const selectors = attested?.selectors ?? state.kind
    const known = this.#denial
    const first = known?.code !== code || known.selectors !== selectors
    const id = first ? randomBytes(6).toString('hex') : known.id
    this.#denial = { code, selectors, id }
    return {
      id,
      first,
      caller: { pid: caller.pid, uid: caller.uid, gid: caller.gid },
      selectors: attested?.selectors ?? new Map(),
      unavailable: attested?.unavailable ?? [],
      notes: attested?.notes ?? [],
      nearest: first && attested && code === 'entry.none' ? () => this.#nearest(attested.selectors) : null,
    }
  }

  #nearest(selectors: Selectors): readonly NearEntry[] {
    return nearestEntries(this.options.store.current.entries.values(), selectors, MAX_NEAREST)
  }

  #refusal(): Refusal | null {
    const { state } = this.workload
    if (state.kind === 'failed') return { code: state.error.code, message: state.error.message }
    const error = this.workload.check()
    return error ? { code: error.code, message: error.message } : null
  }

  #begin(): void {
    this.#watch = this.options.store.watch((change: Change) => {
      if (change.entries === 'all') this.#stale = true
      this.#changed()
    })
    this.#state = this.workload.subscribe(() => {
      this.#stale = true
      this.#changed()
    })
    this.#stale = true
    this.#rematch()
  }

  #demand(by: 1 | -1): void {
    this.#demanding += by
    if (this.#demanding === 0) {
      this.#use?.[Symbol.dispose]()
      this.#use = null
    } else if (!this.#use) {
      this.#use = this.options.demand.use(this.workload.caller.uid)
      this.#use.entries(this.#match.ids)
    }
  }

  #end(): void {
    this.#watch?.[Symbol.dispose]()
    this.#state?.[Symbol.dispose]()
    this.#watch = this.#state = null
    this.#stale = true
  }

  #changed(): void {
    const failures: unknown[] = []
    for (const listener of [...this.#listeners]) {
      // Whoever left meanwhile, because of another's reaction, is not told.
      if (!this.#listeners.has(listener)) continue
      try {
        listener()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  #rematch(): void {
    const { store, maxIdentities, events } = this.options
    const { state, caller } = this.workload
    const before = this.#match
    this.#match =
      state.kind === 'attested'
        ? store.current.index.match(state.selectors, state.unavailable, maxIdentities)
        : NO_MATCH
    // Where nobody listens, nobody says when it has become old.
    this.#stale = this.#watch === null
    this.#use?.entries(this.#match.ids)
    this.#watch?.entries(this.#match.ids)
    if (state.kind === 'attested') this.#sayLost(state.selectors)
    if (this.#match.truncated && !before.truncated) events.truncated(caller, maxIdentities)
  }

  /** Entries that matched while labels of images counted as given to the container. */
  #sayLost(selectors: Selectors): void {
    const { store, maxIdentities, events } = this.options
    const { index, entries } = store.current
    for (const id of lostMatches(index, selectors, this.#match.ids, 2 * maxIdentities)) {
      const entry = entries.get(id)
      if (entry) events.labelOfImage({ id, spiffeId: entry.spiffeId.uri })
    }
  }
}
