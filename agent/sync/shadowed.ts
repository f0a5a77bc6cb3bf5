import { byAge, type Entry } from '../identity/entry.js'
import type { Selectors } from '../identity/selector.js'
import { EntryIndex } from '../store/entry-index.js'

/** Entries of this agent with the same selectors: the server cannot tell them apart. */
interface Equals {
  /** The oldest of them. */
  first: Entry
  readonly names: Set<string>
}

/** Of those that the server prefers for some selectors, the oldest one, and the names that any of them bears. */
interface Winners {
  readonly id: string
  readonly names: readonly ReadonlySet<string>[]
}

/**
 * Entries that the server can never issue: it is sent exactly an entry's selectors, and prefers entries of this agent
 * to those of every agent, then the one with the most selectors. By id, with an entry that wins. Where several might
 * win and one of them bears the same name, nothing is said: that is found out by asking. Each set of selectors is
 * looked at once, however many entries have it, for a hundred thousand of them are looked at while workloads wait.
 */
export function shadowed(entries: Iterable<Entry>): ReadonlyMap<string, string> {
  const unassigned: Entry[] = []
  const assigned = new Map<string, Equals>()
  for (const entry of entries) {
    if (!entry.assigned) unassigned.push(entry)
    else if (entry.selectors.size > 0) note(assigned, entry)
  }
  const found = new Map<string, string>()
  if (unassigned.length === 0 || assigned.size === 0) return found

  const firsts = new Map([...assigned.values()].map((equals) => [equals.first.id, equals]))
  const index = new EntryIndex([...firsts.values()].map(({ first }) => first))
  const known = new Map<string, Winners | null>()
  for (const { id, selectors, spiffeId } of unassigned) {
    const wanted = nameOf(selectors)
    let winners = known.get(wanted)
    if (winners === undefined) {
      const { ids } = index.match(selectors, [], Number.POSITIVE_INFINITY)
      winners = winnersOf(ids.flatMap((first) => firsts.get(first) ?? []))
      known.set(wanted, winners)
    }
    if (winners && !winners.names.some((names) => names.has(spiffeId.uri))) found.set(id, winners.id)
  }
  return found
}

function note(assigned: Map<string, Equals>, entry: Entry): void {
  const name = nameOf(entry.selectors)
  const equals = assigned.get(name)
  if (!equals) {
    assigned.set(name, { first: entry, names: new Set([entry.spiffeId.uri]) })
    return
  }
  equals.names.add(entry.spiffeId.uri)
  if (byAge(entry, equals.first) < 0) equals.first = entry
}

/** `matching` is ordered by age. */
function winnersOf(matching: readonly Equals[]): Winners | null {
  let most = 0
  for (const { first } of matching) most = Math.max(most, first.selectors.size)
  const best = matching.filter(({ first }) => first.selectors.size === most)
  const [oldest] = best
  return oldest ? { id: oldest.first.id, names: best.map(({ names }) => names) } : null
}

/** The same for the same selectors, in whatever order they came. */
function nameOf(selectors: Selectors): string {
  return JSON.stringify([...selectors].sort(([a], [b]) => (a < b ? -1 : 1)))
}
