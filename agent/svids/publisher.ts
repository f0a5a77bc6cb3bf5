import type { Authority } from '../identity/trust-bundle.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import { AuthorityHistory } from './authority-history.js'
import { type Changes, changesBy, renewEarly } from './state-changes.js'
import type { SvidStore } from './store.js'

export interface PublisherOptions {
  readonly store: SvidStore
  readonly clock: Pick<Clock, 'now'>
  readonly events: SyncEvents
  /** The account id: the trust domain of agents. */
  readonly account: string
}

/**
 * What the jobs of sync learn, put into the store: states of entries, and what is known of the authorities. Bundles come
 * before the SVIDs that need them, for the one is published before the other.
 */
export class Publisher {
  #history: AuthorityHistory

  constructor(private readonly options: PublisherOptions) {
    this.#history = AuthorityHistory.empty(options.account)
  }

  get history(): AuthorityHistory {
    return this.#history
  }

  /** Only the entries that are named change, and only their watchers wake. No change, no publication. */
  changes(changes: Changes): void {
    if (changes.size === 0) return
    const { store } = this.options
    store.publish(
      { states: new Map([...store.current.states, ...changes]) },
      { entries: new Set(changes.keys()), bundles: false },
    )
  }

  /** The server named these as its issuers. */
  named(authorities: readonly Authority[]): void {
    this.learn((history) => history.named(authorities, this.options.clock.now()))
  }

  /** The history as it is from now on; where bundles change by it, they are published. */
  learn(change: (history: AuthorityHistory) => AuthorityHistory): void {
    const before = this.#history
    const history = change(before)
    if (history === before) return
    this.#history = history
    const { store, clock, events } = this.options
    const [last, newest] = [before.newest, history.newest]
    if (last !== null && newest !== null && newest !== last) {
      this.changes(renewEarly(store.current.states, newest, clock.now()))
      this.changes(changesBy(store.current.states, { kind: 'conditions-changed' }, clock.now()))
    }
    const { bundles: shown } = store.current
    const bundles = history.bundles(shown)
    if (bundles === shown) return
    events.bundlesChanged(history.authorities, bundles.size)
    store.publish({ bundles }, { entries: new Set(), bundles: true })
  }
}
