import type { TrailLine } from '../attestation/attestor.js'
import type { ErrorCode } from '../errors.js'
import { byAge, type Entry } from '../identity/entry.js'
import { platformOf, type Selectors } from '../identity/selector.js'
import type { Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'

/** A selector that an entry asks for and the caller does not have. */
export interface Lack {
  readonly key: string
  readonly wanted: string
  /** What the caller has instead; null: nothing under this key. */
  readonly found: string | null
  /** The platform did not answer, so that nobody knows. */
  readonly unknown: boolean
}

export interface NearEntry {
  readonly id: string
  readonly spiffeId: string
  readonly lacks: readonly Lack[]
}

/** Everything by which one denial can be explained, as it was then. It stays on this machine. */
export interface DenialRecord {
  readonly id: string
  /** Wall clock, milliseconds. */
  readonly at: number
  readonly method: Method
  readonly code: ErrorCode
  readonly message: string
  readonly caller: { readonly pid: number; readonly uid: number; readonly gid: number }
  readonly facts: Selectors
  readonly missing: readonly string[]
  readonly trail: readonly TrailLine[]
  /** Nearest first; only where no entry matched. */
  readonly nearest: readonly NearEntry[]
}

const MAX_RECORDS = 64

/** The last denials, oldest first. Whoever is denied over and over pushes out its own, and nobody else's. */
export class Denials {
  readonly #records = new Map<string, DenialRecord>()

  constructor(
    private readonly clock: Pick<Clock, 'now'>,
    private readonly capacity = MAX_RECORDS,
  ) {}

  add(denial: Omit<DenialRecord, 'at'>): void {
    this.#records.set(denial.id, { ...denial, at: this.clock.now() })
    if (this.#records.size > this.capacity) this.#forgetOne()
  }

  /** By the id that the caller was told; null when it is too old, or never was. */
  get(id: string): DenialRecord | null {
    return this.#records.get(id) ?? null
  }

  [Symbol.iterator](): Iterator<DenialRecord> {
    return this.#records.values()
  }

  /** The oldest one of the user that has the most. */
  #forgetOne(): void {
    const ofUser = new Map<number, string[]>()
    for (const { id, caller } of this.#records.values()) {
      const ids = ofUser.get(caller.uid)
      if (ids) ids.push(id)
      else ofUser.set(caller.uid, [id])
    }
    const [[oldest] = []] = [...ofUser.values()].sort((a, b) => b.length - a.length)
    if (oldest !== undefined) this.#records.delete(oldest)
  }
}

interface Candidate {
  readonly entry: Entry
  readonly lacking: number
  readonly common: number
}

/**
 * The entries that the caller came nearest to matching, at most `limit`: those that lack the fewest selectors, of these
 * the ones that share the most, then the oldest. Those that match, and those that nobody can match, are left out. Pure;
 * 10,000 entries take some milliseconds.
 */
export function nearestEntries(
  entries: Iterable<Entry>,
  facts: Selectors,
  missing: readonly string[],
  limit: number,
): readonly NearEntry[] {
  const nearest: Candidate[] = []
  for (const entry of entries) {
    const { size } = entry.selectors
    let common = 0
    for (const [key, value] of entry.selectors) if (facts.get(key) === value) common++
    if (common === size) continue
    const candidate = { entry, lacking: size - common, common }
    const last = nearest.at(-1)
    if (nearest.length >= limit && last && byNearness(candidate, last) >= 0) continue
    nearest.push(candidate)
    nearest.sort(byNearness)
    nearest.length = Math.min(nearest.length, limit)
  }
  return nearest.map(({ entry }) => ({
    id: entry.id,
    spiffeId: entry.spiffeId.uri,
    lacks: [...entry.selectors].flatMap(([key, wanted]) => {
      const found = facts.get(key) ?? null
      return found === wanted ? [] : [{ key, wanted, found, unknown: missing.includes(platformOf(key)) }]
    }),
  }))
}

function byNearness(a: Candidate, b: Candidate): number {
  return a.lacking - b.lacking || b.common - a.common || byAge(a.entry, b.entry)
}
