import type { AuthorityHistoryState } from './authority-history.js'
import { EntryIndex } from './entry-index.js'
import type { Issuance } from './issuance.js'
import type { PassingTime } from './passing-time.js'
import type { Publisher } from './publisher.js'
import { withShadows } from './shadows.js'
import type { Snapshot } from './snapshot.js'
import type { SvidStore } from './store.js'

/** The state of an earlier run in the sealed cache. */
export interface EarlierRun {
  readonly snapshot: Pick<Snapshot, 'entries' | 'states' | 'jwtKeys'>
  readonly history: AuthorityHistoryState
}

/** The parts that are restored from an earlier run. */
export interface RestoreDeps {
  readonly store: SvidStore
  readonly publisher: Publisher
  readonly issuance: Pick<Issuance, 'restored'>
  readonly time: Pick<PassingTime, 'tick'>
}

/**
 * Serves the state of an earlier run from now on, and renews it as usual. If entries have been synced meanwhile, only
 * their missing SVIDs are restored; authorities and trust domains of this run are kept.
 */
export function restoreSnapshot(
  { store, publisher, issuance, time }: RestoreDeps,
  { snapshot, history }: EarlierRun,
): void {
  const { current } = store
  const entries = current.synced ? current.entries : snapshot.entries
  const fitting = [...snapshot.states].filter(
    ([id]) => !current.states.has(id) && entries.get(id)?.spiffeId.uri === snapshot.entries.get(id)?.spiffeId.uri,
  )
  publisher.learn((known) => known.merged(history))
  issuance.restored(snapshot.states)
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
  time.tick()
}
