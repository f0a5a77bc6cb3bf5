import type { AuthorityHistoryState } from './authority-history.js'
import { EntryIndex } from './entry-index.js'
import type { Issuance } from './issuance.js'
import type { PassingTime } from './passing-time.js'
import type { Publisher } from './publisher.js'
import { withShadows } from './shadows.js'
import type { Snapshot } from './snapshot.js'
import type { SvidStore } from './store.js'

/** What the sealed cache knows of an earlier run. */
export interface EarlierRun {
  readonly snapshot: Pick<Snapshot, 'entries' | 'states' | 'jwtKeys'>
  readonly history: AuthorityHistoryState
}

/** What takes over from an earlier run. */
export interface RestoreDeps {
  readonly store: SvidStore
  readonly publisher: Publisher
  readonly issuance: Pick<Issuance, 'restored'>
  readonly time: Pick<PassingTime, 'tick'>
}

/**
 * What an earlier run knew: served from now on, and renewed like everything else. Where entries have come from the
 * server meanwhile, only SVIDs of theirs that are still missing are taken over; what this run has learnt of
 * authorities and trust domains stays.
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
