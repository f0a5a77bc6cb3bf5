import { byAge, type Entry } from '../identity/entry.js'
import type { Selectors } from '../identity/selector.js'
import type { NearEntry } from '../observability/api-events.js'

interface ComparedEntry {
  readonly entry: Entry
  readonly lacking: number
  readonly common: number
}

/** The entries that the caller came nearest to matching, at most `limit`, and what it lacks of each. Pure. */
export function nearestEntries(entries: Iterable<Entry>, selectors: Selectors, limit: number): readonly NearEntry[] {
  return nearestOf(entries, selectors, limit).map((entry) => near(entry, selectors))
}

/**
 * Those that lack the fewest selectors, of these the ones that share the most, then the oldest; at most `limit`. Those that
 * match, and those that match no process, are left out. Pure; 10,000 entries take some milliseconds. The nearest of
 * several sets are the nearest of the nearest of each.
 */
export function nearestOf(entries: Iterable<Entry>, selectors: Selectors, limit: number): readonly Entry[] {
  const nearest: ComparedEntry[] = []
  for (const entry of entries) {
    const { size } = entry.selectors
    let common = 0
    for (const [key, value] of entry.selectors) if (selectors.get(key) === value) common++
    if (common === size) continue
    const candidate = { entry, lacking: size - common, common }
    const last = nearest.at(-1)
    if (nearest.length >= limit && last && byNearness(candidate, last) >= 0) continue
    nearest.push(candidate)
    nearest.sort(byNearness)
    nearest.length = Math.min(nearest.length, limit)
  }
  return nearest.map(({ entry }) => entry)
}

/** Exactly what keeps the process from the entry. */
export function near(entry: Entry, selectors: Selectors): NearEntry {
  return {
    id: entry.id,
    spiffeId: entry.spiffeId.uri,
    lacks: [...entry.selectors].flatMap(([key, wanted]) => {
      const found = selectors.get(key) ?? null
      return found === wanted ? [] : [{ key, wanted, found }]
    }),
  }
}

function byNearness(a: ComparedEntry, b: ComparedEntry): number {
  return a.lacking - b.lacking || b.common - a.common || byAge(a.entry, b.entry)
}
