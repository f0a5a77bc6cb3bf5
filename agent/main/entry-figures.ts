import type { NeverIssued } from '../observability/health.js'
import type { Demand } from '../svids/demand.js'
import { newestOf } from '../svids/entry-state.js'
import { type EntryStatus, entryStatus } from '../svids/entry-status.js'
import { isKept } from '../svids/plan.js'
import type { Snapshot } from '../svids/snapshot.js'

type Entries = Pick<Snapshot, 'entries' | 'states'>
type Uses = Pick<Demand, 'unusedFor'>

/** Existing SDKs poll every 30 minutes without an open call in between, so an entry used within this time is in demand. */
const ASKED_FOR_MS = 35 * 60_000

/** Number of entries by state. */
export function countByState(entries: Entries, now: number): Record<EntryStatus['state'], number> {
  const counts = { idle: 0, wanted: 0, issued: 0, refused: 0, shadowed: 0 }
  for (const id of entries.entries.keys()) counts[entryStatus(entries, id, now).state]++
  return counts
}

/** Counts over all entries for health, independent of the time. */
export interface EntryFigures {
  readonly byState: Readonly<Record<EntryStatus['state'], number>>
  readonly neverIssued: readonly NeverIssued[]
  /** Expiry times of served SVIDs; milliseconds since 1970. */
  readonly ends: readonly number[]
}

/** Caches the counts: with thousands of entries counting takes milliseconds, and `status --watch` polls every other second. */
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
 * The earliest expiry of the SVIDs in use, in milliseconds since 1970; null: none is in use. SVIDs that were not used for
 * an hour, or for their whole life, are not renewed and not counted. A held-back SVID is counted instead of the one that
 * it will replace.
 */
export function soonestEnd({ states }: Pick<Entries, 'states'>, demand: Uses, now: number): number | null {
  let soonest: number | null = null
  for (const [id, state] of states) {
    // Another entry is issued instead, so it is not renewed.
    if (state.kind !== 'issued' || state.shadow) continue
    const held = newestOf(state)
    if (!isKept(held, demand.unusedFor(id, now))) continue
    const { notAfter } = held.svid
    if (soonest === null || notAfter < soonest) soonest = notAfter
  }
  return soonest
}

/** States of an entry in demand without a valid SVID. */
type Lack = 'wanted' | 'expired' | 'refused'

/** Number of entries in demand, now or recently, without a valid SVID. */
export function unserved(entries: Entries, demand: Uses, now: number): Record<Lack, number> {
  const counts = { wanted: 0, expired: 0, refused: 0 }
  for (const id of entries.entries.keys()) {
    const lack = lackOf(entryStatus(entries, id, now))
    if (lack !== null && demand.unusedFor(id, now) <= ASKED_FOR_MS) counts[lack]++
  }
  return counts
}

/** Null: it has an SVID, or never gets one because another entry is issued instead. */
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
