import type { Selectors } from './selector.js'
import type { SpiffeId } from './spiffe-id.js'

/** A registration entry: a SPIFFE ID, and the selectors that a workload needs to get it. */
export interface Entry {
  readonly id: string
  readonly spiffeId: SpiffeId
  /** True when the entry names this agent as its parent; false when it is served by every agent of the account. */
  readonly assigned: boolean
  readonly selectors: Selectors
  /** Lifetime of its SVIDs in seconds; null: the server's default. */
  readonly ttlSeconds: number | null
  /** Milliseconds since 1970; 0 if the server does not send it. */
  readonly createdAt: number
}

/** Oldest first, then by id: the order in which a workload sees its identities (Workload API 8: first is default). */
export function byAge(a: Entry, b: Entry): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}

/** True if a sync changed nothing that matters about the entry. */
export function sameEntry(a: Entry, b: Entry): boolean {
  return (
    a.id === b.id &&
    a.spiffeId.uri === b.spiffeId.uri &&
    a.assigned === b.assigned &&
    a.ttlSeconds === b.ttlSeconds &&
    a.createdAt === b.createdAt &&
    a.selectors.size === b.selectors.size &&
    [...a.selectors].every(([key, value]) => b.selectors.get(key) === value)
  )
}
