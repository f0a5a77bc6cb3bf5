import { type Entry, sameEntry } from '../identity/entry.js'
import { EntryIndex } from './entry-index.js'
import { type EntryState, shadowOf, transition } from './entry-state.js'
import { withShadows } from './shadows.js'
import type { Snapshot } from './snapshot.js'

/** A set of entries put in place of another. */
export interface Replacement {
  readonly parts: Pick<Snapshot, 'synced' | 'entries' | 'index' | 'states'>
  readonly added: number
  readonly removed: readonly Entry[]
  /** Ids of entries that are others than before under the same id. */
  readonly changed: readonly string[]
  /** Entries in whose place another one is issued, each with that one; those that were known as such are left out. */
  readonly shadowed: readonly (readonly [loser: Entry, winner: Entry])[]
  /** Serials of SVIDs that nobody is entitled to any more. */
  readonly orphaned: readonly string[]
}

/** True when a read would take away every entry there is: it is read once more before it counts. */
export function withdrawsEverything(before: ReadonlyMap<string, Entry>, after: readonly Entry[]): boolean {
  return before.size > 0 && !after.some((entry) => before.has(entry.id))
}

/** Null when nothing changed (and entries were known before). */
export function replaceEntries(
  snapshot: Pick<Snapshot, 'synced' | 'entries' | 'states'>,
  entries: readonly Entry[],
): Replacement | null {
  const next = new Map(entries.map((entry) => [entry.id, entry]))
  const removed = [...snapshot.entries.values()].filter((entry) => !next.has(entry.id))
  let added = 0
  const changed: string[] = []
  const states = new Map(snapshot.states)
  const orphaned: string[] = []
  const drop = (id: string) => {
    const state = states.get(id)
    if (state?.kind === 'issued')
      orphaned.push(state.held.svid.serial, ...(state.next ? [state.next.held.svid.serial] : []))
    states.delete(id)
  }
  for (const id of states.keys()) if (!snapshot.entries.has(id)) drop(id)
  for (const entry of removed) drop(entry.id)
  for (const [id, entry] of next) {
    const before = snapshot.entries.get(id)
    if (!before) added++
    else if (sameEntry(before, entry)) next.set(id, before)
    else {
      changed.push(id)
      adjustState(states, before, entry, drop)
    }
  }
  if (snapshot.synced && added + changed.length + removed.length === 0) return null
  const shaded = withShadows(next, states)
  return {
    parts: { synced: true, entries: next, index: new EntryIndex(next.values()), states: shaded },
    shadowed: newlyShadowed(next, snapshot.states, shaded),
    added,
    removed,
    changed,
    orphaned,
  }
}

function newlyShadowed(
  entries: ReadonlyMap<string, Entry>,
  before: ReadonlyMap<string, EntryState>,
  after: ReadonlyMap<string, EntryState>,
): Replacement['shadowed'] {
  return [...after].flatMap(([id, state]) => {
    const shadow = shadowOf(state)
    const [loser, winner] = [entries.get(id), shadow && entries.get(shadow.by)]
    return shadow && loser && winner && shadowOf(before.get(id))?.by !== shadow.by ? [[loser, winner] as const] : []
  })
}

function adjustState(states: Map<string, EntryState>, before: Entry, after: Entry, drop: (id: string) => void): void {
  if (before.spiffeId.uri !== after.spiffeId.uri) {
    drop(after.id)
    return
  }
  const newTtl = before.ttlSeconds !== after.ttlSeconds
  const state = transition(states.get(after.id), { kind: 'entry-changed', newTtl })
  if (state) states.set(after.id, state)
  else states.delete(after.id)
}
