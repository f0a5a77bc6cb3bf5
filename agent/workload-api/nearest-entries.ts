import { byAge, type Entry } from '../identity/entry.js'
import type { Selectors } from '../identity/selector.js'
import type { NearEntry } from '../observability/api-events.js'

interface ComparedEntry {
  readonly entry: Entry
  readonly lacking: number
  readonly common: number
}

/** The entries nearest to matching, at most `limit`, each with the selectors that the caller lacks. Pure. */
export function nearestEntries(entries: Iterable<Entry>, selectors: Selectors, limit: number): readonly NearEntry[] {
  return nearestOf(entries, selectors, limit).map((entry) => near(entry, selectors))
}

/**
 * The entries with the fewest missing selectors, then the most common ones, then the oldest; at most `limit`. Entries that
 * match, or that can match no process, are left out. Pure; 10,000 entries take some milliseconds. A large set may be
 * searched in parts: the nearest of the parts' results are the nearest of all.
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

/** The selectors of the entry that the process lacks. */
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
