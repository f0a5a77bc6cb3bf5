import type { Entry } from '../identity/entry.js'
import { covers } from '../identity/selector.js'
import type { Changes } from './catch-up.js'
import { shadowed } from './shadowed.js'
import type { EntryState, Shadow, Snapshot } from './snapshot.js'

/** The entry that the server issues in the place of this one, as far as is known; null: none. */
export function shadowOf(state: EntryState | undefined): Shadow | null {
  if (state?.kind === 'shadowed') return state
  return state?.kind === 'issued' ? (state.shadow ?? null) : null
}

/**
 * The states with what is known of entries that the server issues in each other's place. What the server said of two
 * entries stands as long as both are there; of the others the youngest is expected to win, and so is tried first.
 */
export function withShadows(
  entries: ReadonlyMap<string, Entry>,
  states: ReadonlyMap<string, EntryState>,
): Map<string, EntryState> {
  const told = new Map<string, string>()
  for (const [id, state] of states) {
    const shadow = shadowOf(state)
    const [loser, winner] = [entries.get(id), shadow && entries.get(shadow.by)]
    if (shadow?.told && loser && winner && covers(loser.selectors, winner.selectors)) told.set(id, shadow.by)
  }
  // Who is said to win over each other is not known to.
  for (const [id, by] of [...told]) if (told.has(by)) told.delete(id)
  const found = shadowed(entries.values(), new Set(told.keys()))
  const next = new Map(states)
  for (const [id, state] of states) {
    if (!shadowOf(state) || found.has(id) || told.has(id)) continue
    const free = freed(state)
    if (free) next.set(id, free)
    else next.delete(id)
  }
  for (const [id, by] of found) if (!told.has(id)) next.set(id, inShadow(states.get(id), { by }))
  for (const [id, by] of told) next.set(id, inShadow(states.get(id), { by, told: true }))
  return next
}

/** The server issued `winner` for the selectors of `asked`: what that says of all entries with these selectors. */
export function settled(
  asked: Entry,
  winner: Entry,
  { entries, index }: Pick<Snapshot, 'entries' | 'index'>,
  states: ReadonlyMap<string, EntryState>,
): Changes {
  const changes = new Map<string, EntryState>()
  for (const id of index.match(asked.selectors, [], Number.POSITIVE_INFINITY).ids) {
    const entry = entries.get(id)
    if (!entry || entry.selectors.size !== asked.selectors.size) continue
    const state = states.get(id)
    const shadow = shadowOf(state)
    if (entry.spiffeId.equals(winner.spiffeId)) {
      if (state && shadow) changes.set(id, freed(state) ?? { kind: 'wanted' })
    } else if (shadow?.by !== winner.id || !shadow.told) {
      changes.set(id, inShadow(state, { by: winner.id, told: true }))
    }
  }
  return changes
}

/** The entry whose identity the server issued when it was sent the selectors of another one; null: none that is known. */
export function issuedInstead(
  asked: Entry,
  uri: unknown,
  { entries, index }: Pick<Snapshot, 'entries' | 'index'>,
): Entry | null {
  let best: Entry | null = null
  for (const id of index.match(asked.selectors, [], Number.POSITIVE_INFINITY).ids) {
    const entry = entries.get(id)
    if (!entry || entry.spiffeId.uri !== uri) continue
    // Oldest first: the last of equals is the youngest.
    if (!best || rank(entry) >= rank(best)) best = entry
  }
  return best
}

function rank({ assigned, selectors }: Entry): number {
  return selectors.size + (assigned ? 1_000_000 : 0)
}

function inShadow(state: EntryState | undefined, shadow: Shadow): EntryState {
  return state?.kind === 'issued' ? { ...state, shadow } : { kind: 'shadowed', ...shadow }
}

/** Null: as if nobody had asked for it yet. What failed because of the other entry is forgotten. */
function freed(state: EntryState): EntryState | null {
  if (state.kind !== 'issued') return null
  const { shadow: _, failures, ...issued } = state
  return failures && failures.code !== 'entry.shadowed' ? { ...issued, failures } : issued
}
