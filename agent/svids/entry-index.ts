import { byAge, type Entry } from '../identity/entry.js'
import { covers, platformOf, type Selectors } from '../identity/selector.js'

/**
 * The entries that a workload matches. `uncertain`: another entry might match if an unavailable platform answered.
 */
export interface Match {
  /** Oldest entry first, at most the limit. */
  readonly ids: readonly string[]
  /** True if more entries match than the limit. */
  readonly truncated: boolean
  readonly uncertain: boolean
}

export const NO_MATCH: Match = { ids: [], truncated: false, uncertain: false }

/**
 * Entries by their rarest selector, so that matching examines only entries whose rarest selector the workload has.
 * Immutable; built once per sync.
 */
export class EntryIndex {
  readonly #entries: readonly Entry[]
  readonly #byPair: Buckets
  /** By set of unavailable platforms, entries by the rarest of their other selectors; built when first needed. */
  readonly #without = new Map<string, Buckets>()

  constructor(entries: Iterable<Entry>) {
    this.#entries = [...entries].filter((entry) => entry.selectors.size > 0)
    this.#byPair = new Buckets(this.#entries, () => true)
  }

  /** Number of entries that can match; one without selectors matches no workload. */
  get size(): number {
    return this.#entries.length
  }

  match(selectors: Selectors, unavailable: readonly string[], limit: number): Match {
    const found: Entry[] = []
    for (const entry of this.#byPair.candidates(selectors)) if (covers(selectors, entry.selectors)) found.push(entry)
    found.sort(byAge)
    return {
      ids: found.slice(0, limit).map((entry) => entry.id),
      truncated: found.length > limit,
      uncertain: unavailable.length > 0 && this.#couldMatchMore(selectors, new Set(unavailable), new Set(found)),
    }
  }

  /** Whether the known selectors satisfy a further entry except for those of unavailable platforms. */
  #couldMatchMore(selectors: Selectors, unavailable: ReadonlySet<string>, matched: ReadonlySet<Entry>): boolean {
    for (const entry of this.#buckets(unavailable).candidates(selectors)) {
      if (!matched.has(entry) && agrees(selectors, entry.selectors, unavailable)) return true
    }
    return false
  }

  #buckets(unavailable: ReadonlySet<string>): Buckets {
    const name = [...unavailable].sort().join()
    let buckets = this.#without.get(name)
    if (!buckets) {
      const concerned = this.#entries.filter((entry) =>
        [...entry.selectors.keys()].some((key) => unavailable.has(platformOf(key))),
      )
      buckets = new Buckets(concerned, (key) => !unavailable.has(platformOf(key)))
      this.#without.set(name, buckets)
    }
    return buckets
  }
}

/** Entries by the rarest of their considered selectors. */
class Buckets {
  readonly #byPair = new Map<string, Entry[]>()
  /** Entries without a considered selector. */
  readonly #others: Entry[] = []

  constructor(entries: readonly Entry[], counts: (key: string) => boolean) {
    const frequency = new Map<string, number>()
    const pairs = entries.map((entry) =>
      [...entry.selectors].filter(([key]) => counts(key)).map(([key, value]) => pairOf(key, value)),
    )
    for (const pair of pairs.flat()) frequency.set(pair, (frequency.get(pair) ?? 0) + 1)
    for (const [i, entry] of entries.entries()) {
      const rarest = rarestOf(pairs[i] ?? [], frequency)
      const bucket = rarest === null ? this.#others : this.#byPair.get(rarest)
      if (bucket) bucket.push(entry)
      else if (rarest !== null) this.#byPair.set(rarest, [entry])
    }
  }

  /** A superset of the entries that the selectors satisfy. */
  *candidates(selectors: Selectors): Iterable<Entry> {
    yield* this.#others
    for (const [key, value] of selectors) yield* this.#byPair.get(pairOf(key, value)) ?? []
  }
}

/** True if every wanted selector is known with that value, or belongs to an unavailable platform. */
function agrees(selectors: Selectors, wanted: Selectors, unavailable: ReadonlySet<string>): boolean {
  for (const [key, value] of wanted) if (selectors.get(key) !== value && !unavailable.has(platformOf(key))) return false
  return true
}

function pairOf(key: string, value: string): string {
  return `${key}\u0000${value}`
}

function rarestOf(pairs: readonly string[], frequency: ReadonlyMap<string, number>): string | null {
  let rarest: string | null = null
  let least = Number.POSITIVE_INFINITY
  for (const pair of pairs) {
    const count = frequency.get(pair) ?? 0
    if (count < least) {
      least = count
      rarest = pair
    }
  }
  return rarest
}
