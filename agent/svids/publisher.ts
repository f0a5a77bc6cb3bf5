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
 * Publishes the results of sync jobs: states of entries and authorities. A bundle is published before the SVIDs that
 * need it.
 */
export class Publisher {
  #history: AuthorityHistory

  constructor(private readonly options: PublisherOptions) {
    this.#history = AuthorityHistory.empty(options.account)
  }

  get history(): AuthorityHistory {
    return this.#history
  }

  /** Publishes these states and wakes only their watchers. Publishes nothing if there are none. */
  changes(changes: Changes): void {
    if (changes.size === 0) return
    const { store } = this.options
    store.publish(
      { states: new Map([...store.current.states, ...changes]) },
      { entries: new Set(changes.keys()), bundles: false },
    )
  }

  /** The server named these authorities as its issuers. */
  named(authorities: readonly Authority[]): void {
    this.learn((history) => history.named(authorities, this.options.clock.now()))
  }

  /** Replaces the history, and publishes the bundles if they change. */
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
