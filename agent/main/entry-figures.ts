import type { NeverIssued } from '../observability/health.js'
import type { Demand } from '../svids/demand.js'
import { newestOf } from '../svids/entry-state.js'
import { type EntryStatus, entryStatus } from '../svids/entry-status.js'
import { isKept } from '../svids/plan.js'
import type { Snapshot } from '../svids/snapshot.js'

type Entries = Pick<Snapshot, 'entries' | 'states'>
type Uses = Pick<Demand, 'unusedFor'>

/** SDKs in the field look every 30 minutes, with no call open in between: who asked so lately still counts on it. */
const ASKED_FOR_MS = 35 * 60_000

/** Number of entries by state. */
export function countByState(entries: Entries, now: number): Record<EntryStatus['state'], number> {
  const counts = { idle: 0, wanted: 0, issued: 0, refused: 0, shadowed: 0 }
  for (const id of entries.entries.keys()) counts[entryStatus(entries, id, now).state]++
  return counts
}

/** What health says of all entries, whatever the time. */
export interface EntryFigures {
  readonly byState: Readonly<Record<EntryStatus['state'], number>>
  readonly neverIssued: readonly NeverIssued[]
  /** When the SVIDs that are served end; milliseconds since 1970. */
  readonly ends: readonly number[]
}

/** With thousands of entries a look at each takes milliseconds, and whoever watches looks every other second. */
const known = new WeakMap<Entries['states'], EntryFigures & { readonly entries: Entries['entries'] }>()

/** Counted once for each publication. */
export function figuresOf({ entries, states }: Entries): EntryFigures {
  const before = known.get(states)
  if (before?.entries === entries) return before
  const neverIssued: NeverIssued[] = []
  const ends: number[] = []
  for (const [id, { spiffeId }] of entries) {
    const state = states.get(id)
    if (state?.kind === 'issued') ends.push(state.held.svid.notAfter)
    const { notIssued } = entryStatus({ entries, states }, id, 0)
    for (const why of notIssued) neverIssued.push({ id, spiffeId: spiffeId.uri, ...why })
  }
  const figures = { entries, byState: countByState({ entries, states }, 0), neverIssued, ends }
  known.set(states, figures)
  return figures
}

/**
 * When the first of the SVIDs in use ends, in milliseconds since 1970; null where none is in use. What nobody has used
 * for an hour, or for its whole life, is not renewed: its end is no trouble. One that waits to take the place of another
 * counts instead of that.
 */
export function soonestEnd({ states }: Pick<Entries, 'states'>, demand: Uses, now: number): number | null {
  let soonest: number | null = null
  for (const [id, state] of states) {
    // Another entry takes its place then.
    if (state.kind !== 'issued' || state.shadow) continue
    const held = newestOf(state)
    if (!isKept(held, demand.unusedFor(id, now))) continue
    const { notAfter } = held.svid
    if (soonest === null || notAfter < soonest) soonest = notAfter
  }
  return soonest
}

/** What an entry that is asked for may lack: its first SVID, a renewal in time, the server's consent. */
type Lack = 'wanted' | 'expired' | 'refused'

/** Number of entries that somebody asked for lately, or asks for now, and that have no valid SVID. */
export function unserved(entries: Entries, demand: Uses, now: number): Record<Lack, number> {
  const counts = { wanted: 0, expired: 0, refused: 0 }
  for (const id of entries.entries.keys()) {
    const lack = lackOf(entryStatus(entries, id, now))
    if (lack !== null && demand.unusedFor(id, now) <= ASKED_FOR_MS) counts[lack]++
  }
  return counts
}

/** Null: it has an SVID, or never will have one, because another entry always wins over it. */
function lackOf({ state, expired }: EntryStatus): Lack | null {
  switch (state) {
    case 'idle':
    case 'wanted':
      return expired ? 'expired' : 'wanted'
    case 'refused':
      return 'refused'
    case 'issued':
    case 'shadowed':
      return null
  }
}
