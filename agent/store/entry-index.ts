import { byAge, type Entry } from '../identity/entry.js'
import { covers, platformOf, type Selectors } from '../identity/selector.js'

/** Which entries a workload matches. `uncertain`: an entry beyond these might match if a missing platform answered. */
export interface Match {
  /** Oldest entry first, at most the limit. */
  readonly ids: readonly string[]
  /** True when the limit cut some off. */
  readonly truncated: boolean
  readonly uncertain: boolean
}

export const NO_MATCH: Match = { ids: [], truncated: false, uncertain: false }

/**
 * Entries by their rarest pair, so that matching looks only at entries of which the workload has at least the least
 * common selector. Immutable; built once per sync.
 */
export class EntryIndex {
  readonly #buckets = new Map<string, Entry[]>()
  readonly #entries: readonly Entry[]

  constructor(entries: Iterable<Entry>) {
    this.#entries = [...entries].filter((entry) => entry.selectors.size > 0)
    const frequency = new Map<string, number>()
    for (const entry of this.#entries) {
      for (const [key, value] of entry.selectors) {
        const pair = pairOf(key, value)
        frequency.set(pair, (frequency.get(pair) ?? 0) + 1)
      }
    }
    for (const entry of this.#entries) {
      const rarest = rarestPair(entry.selectors, frequency)
      const bucket = this.#buckets.get(rarest)
      if (bucket) bucket.push(entry)
      else this.#buckets.set(rarest, [entry])
    }
  }

  /** Entries that can match somebody; one without selectors matches nobody. */
  get size(): number {
    return this.#entries.length
  }

  match(facts: Selectors, missing: readonly string[], limit: number): Match {
    const found: Entry[] = []
    for (const [key, value] of facts) {
      for (const entry of this.#buckets.get(pairOf(key, value)) ?? []) {
        if (covers(facts, entry.selectors)) found.push(entry)
      }
    }
    found.sort(byAge)
    const ids = found.slice(0, limit).map((entry) => entry.id)
    const uncertain = missing.length > 0 && this.#couldMatchMore(facts, new Set(missing), new Set(ids))
    return { ids, truncated: found.length > limit, uncertain }
  }

  /** Missing is not denied: does an entry agree with all that is known, and need only what is unknown besides? */
  #couldMatchMore(facts: Selectors, missing: ReadonlySet<string>, matched: ReadonlySet<string>): boolean {
    return this.#entries.some(
      (entry) =>
        !matched.has(entry.id) &&
        [...entry.selectors].every(([key, value]) => facts.get(key) === value || missing.has(platformOf(key))),
    )
  }
}

function pairOf(key: string, value: string): string {
  return `${key}\u0000${value}`
}

function rarestPair(selectors: Selectors, frequency: ReadonlyMap<string, number>): string {
  let rarest = ''
  let least = Number.POSITIVE_INFINITY
  for (const [key, value] of selectors) {
    const pair = pairOf(key, value)
    const count = frequency.get(pair) ?? 0
    if (count < least) {
      least = count
      rarest = pair
    }
  }
  return rarest
}
