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
