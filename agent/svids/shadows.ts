import { byAge, type Entry } from '../identity/entry.js'
import { covers, type Selectors } from '../identity/selector.js'
import { EntryIndex } from './entry-index.js'
import { type EntryState, type Shadow, shadowOf, transition } from './entry-state.js'
import type { Snapshot } from './snapshot.js'
import type { Changes } from './state-changes.js'

/**
 * Adds to the states which entries the server issues instead of others. A result that the server has shown for two
 * entries is kept while both exist; otherwise the youngest is expected to be issued, and so is tried first.
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
  // Two entries that are each said to be issued instead of the other: neither is known.
  for (const [id, by] of [...told]) if (told.has(by)) told.delete(id)
  const found = shadowed(entries.values(), new Set(told.keys()))
  const next = new Map(states)
  for (const [id, state] of states) {
    if (!shadowOf(state) || found.has(id) || told.has(id)) continue
    const free = transition(state, { kind: 'unshadowed' })
    if (free) next.set(id, free)
    else next.delete(id)
  }
  for (const [id, by] of found) if (!told.has(id)) next.set(id, inShadow(states.get(id), { by }))
  for (const [id, by] of told) next.set(id, inShadow(states.get(id), { by, told: true }))
  return next
}

/** The server issued `winner` for the selectors of `asked`: the states of all entries with these selectors. */
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
      if (state && shadow) changes.set(id, transition(state, { kind: 'preferred' }))
    } else if (shadow?.by !== winner.id || !shadow.told) {
      changes.set(id, inShadow(state, { by: winner.id, told: true }))
    }
  }
  return changes
}

/**
 * The entry whose identity the server issued for the selectors of another one; null: not a known entry.
 */
export function issuedInstead(
  asked: Entry,
  uri: unknown,
  { entries, index }: Pick<Snapshot, 'entries' | 'index'>,
): Entry | null {
  let best: Entry | null = null
  for (const id of index.match(asked.selectors, [], Number.POSITIVE_INFINITY).ids) {
    const entry = entries.get(id)
    if (!entry || entry.spiffeId.uri !== uri) continue
    // Ordered by age, oldest first, so the last of equals is the youngest.
    if (!best || rank(entry) >= rank(best)) best = entry
  }
  return best
}

function rank({ assigned, selectors }: Entry): number {
  return selectors.size + (assigned ? 1_000_000 : 0)
}

function inShadow(state: EntryState | undefined, shadow: Shadow): EntryState {
  return transition(state, { kind: 'shadowed', shadow })
}

/** Entries of one class with the same selectors: the server cannot tell them apart. */
interface Equals {
  /** The one that the server issues: the youngest, unless the server has shown another. */
  winner: Entry
  readonly members: Entry[]
  readonly names: Set<string>
}

/** The youngest of the entries that the server prefers for some selectors, and the SPIFFE IDs of all of them. */
interface Winners {
  readonly id: string
  readonly names: readonly ReadonlySet<string>[]
}

/**
 * Entries that the server is not expected to issue, each with an entry that is issued instead. The server gets exactly an
 * entry's selectors, and prefers entries of this agent to those of every agent, then the one with the most selectors,
 * then the youngest. `lost`: entries that the server is known not to prefer. If several classes might win and one of them
 * has the same SPIFFE ID, the entry is left out: only a request shows it. Each set of selectors is compared once, because
 * workloads wait while a hundred thousand entries are compared.
 */
export function shadowed(entries: Iterable<Entry>, lost: ReadonlySet<string> = new Set()): ReadonlyMap<string, string> {
  const own = new Map<string, Equals>()
  const everywhere = new Map<string, Equals>()
  for (const entry of entries) if (entry.selectors.size > 0) note(entry.assigned ? own : everywhere, entry, lost)
  const found = new Map<string, string>()
  for (const equals of own.values()) noteLosers(equals, found)

  const firsts = new Map([...own.values()].map((equals) => [equals.winner.id, equals]))
  const index = new EntryIndex([...firsts.values()].map(({ winner }) => winner))
  for (const equals of everywhere.values()) {
    const { ids } = index.match(equals.winner.selectors, [], Number.POSITIVE_INFINITY)
    const winners = winnersOf(ids.flatMap((first) => firsts.get(first) ?? []))
    if (!winners) noteLosers(equals, found)
    else {
      for (const { id, spiffeId } of equals.members) {
        if (!winners.names.some((names) => names.has(spiffeId.uri))) found.set(id, winners.id)
      }
    }
  }
  return found
}

function note(all: Map<string, Equals>, entry: Entry, lost: ReadonlySet<string>): void {
  const name = nameOf(entry.selectors)
  const equals = all.get(name)
  if (!equals) {
    all.set(name, { winner: entry, members: [entry], names: new Set([entry.spiffeId.uri]) })
    return
  }
  equals.members.push(entry)
  equals.names.add(entry.spiffeId.uri)
  const [is, was] = [lost.has(entry.id), lost.has(equals.winner.id)]
  if (is === was ? byAge(entry, equals.winner) > 0 : was) equals.winner = entry
}

/** Notes the members as shadowed, except those with the winner's SPIFFE ID. */
function noteLosers({ winner, members }: Equals, found: Map<string, string>): void {
  if (members.length === 1) return
  for (const { id, spiffeId } of members) if (!spiffeId.equals(winner.spiffeId)) found.set(id, winner.id)
}

/** `matching` is ordered by age. */
function winnersOf(matching: readonly Equals[]): Winners | null {
  let most = 0
  for (const { winner } of matching) most = Math.max(most, winner.selectors.size)
  const best = matching.filter(({ winner }) => winner.selectors.size === most)
  const youngest = best.at(-1)
  return youngest ? { id: youngest.winner.id, names: best.map(({ names }) => names) } : null
}

/** A key that is equal for equal selectors, whatever their order. */
function nameOf(selectors: Selectors): string {
  return JSON.stringify([...selectors].sort(([a], [b]) => (a < b ? -1 : 1)))
}
