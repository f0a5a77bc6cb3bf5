import type { Entry } from '../identity/entry.js'
import type { JwtKey } from '../identity/jwt-svid.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { EntryIndex } from './entry-index.js'
import type { EntryState } from './entry-state.js'

/** All that the agent serves from, as one immutable value: sync publishes a new one, the API reads the current one. */
export interface Snapshot {
  /** False until the entries were synced once or restored from the sealed cache. */
  readonly synced: boolean
  readonly entries: ReadonlyMap<string, Entry>
  readonly index: EntryIndex
  readonly states: ReadonlyMap<string, EntryState>
  readonly bundles: BundleSet
  /** Keys of JWT-SVIDs, for every trust domain that is served; the same array until they change. */
  readonly jwtKeys: readonly JwtKey[]
  /** Why the server issues nothing now although it answers, as a text for callers; absent or null: no such reason. */
  readonly withheld?: string | null
}

/** What a publication changed; `entries: 'all'` if the set of entries itself changed, so that workloads match again. */
export interface SnapshotChange {
  readonly entries: ReadonlySet<string> | 'all'
  readonly bundles: boolean
}
