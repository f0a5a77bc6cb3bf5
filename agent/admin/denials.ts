import type { Selectors } from '../identity/selector.js'
import type { NearEntry } from '../observability/api-events.js'
import type { Denied, Observer } from '../observability/observer.js'
import type { Clock } from '../ports/clock.js'
import { type Origin, originOf } from './origin.js'

/** How many denials are remembered. A subject that is denied in a loop evicts its own before those of others. */
const LIMITS = { aSubject: 50, all: 1_000, bytes: 2_000_000 } as const
/** A denial with a longer explanation keeps none: whoever starts the workload chooses the length of its selectors. */
const LARGEST_EXPLANATION = 64_000
/** Each may look through all entries, some milliseconds; a flood of denials must not. */
const SEARCHES_A_SECOND = 10
/** What a denial weighs besides its texts. */
const OVERHEAD = 500

/** Why it was denied, as of the first time. */
export interface DenialExplanation {
  readonly selectors: Selectors
  readonly unavailable: readonly string[]
  readonly notes: readonly { readonly attestor: string; readonly text: string }[]
  /** The entries that it came nearest to; null where nobody looked. */
  readonly nearest: readonly NearEntry[] | null
}

/** A denial that is remembered. Times in milliseconds since 1970. */
export interface RecordedDenial extends Origin {
  readonly id: string
  /** Counts up from the start. */
  readonly number: number
  readonly time: number
  readonly lastTime: number
  /** How often the same process asked again and was told the same. */
  readonly count: number
  readonly pid: number
  readonly uid: number
  readonly gid: number
  /** Names the process, also when its pid is used again. */
  readonly process: string
  readonly program: string | null
  readonly method: string
  readonly code: string
  readonly reason: string
  /** Null where it was too large to keep. */
  readonly explanation: DenialExplanation | null
}

interface KeptDenial {
  denial: RecordedDenial
  readonly subject: string
  readonly bytes: number
}

/** The last denials, each with its explanation. */
export class DenialLog {
  readonly #kept = new Map<string, KeptDenial>()
  /** Ids by subject, oldest first. */
  readonly #subjects = new Map<string, Set<string>>()
  #bytes = 0
  #evicted = 0
  #number = 0
  #searchesIn = { second: 0, searches: 0 }

  constructor(private readonly clock: Pick<Clock, 'now' | 'monotonic'>) {}

  /** Remembers what event functions tell of. */
  readonly observer: Observer = {
    denied: ({ pid, uid, gid }, selectors, denied) => this.#denied({ pid, uid, gid }, selectors, denied),
  }

  get size(): number {
    return this.#kept.size
  }

  /** Denials that were forgotten to make room for others. */
  get evicted(): number {
    return this.#evicted
  }

  /** Newest first. */
  all(): readonly RecordedDenial[] {
    return [...this.#kept.values()].map(({ denial }) => denial).reverse()
  }

  /** The newest ones. */
  last(count: number): readonly RecordedDenial[] {
    return this.all().slice(0, count)
  }

  get(id: string): RecordedDenial | null {
    return this.#kept.get(id)?.denial ?? null
  }

  #denied(caller: { pid: number; uid: number; gid: number }, selectors: Selectors, denied: Denied): void {
    const now = this.clock.now()
    const known = this.#kept.get(denied.id)
    if (known) {
      known.denial = { ...known.denial, lastTime: now, count: known.denial.count + 1 }
      return
    }
    const { id, code, method, message, process } = denied
    const origin = originOf(selectors)
    const explained = this.#explain(selectors, denied)
    const denial = {
      id,
      number: ++this.#number,
      time: now,
      lastTime: now,
      count: 1,
      ...caller,
      process,
      ...origin,
      program: selectors.get('unix:path') ?? null,
      method,
      code,
      reason: message,
      explanation: explained.explanation,
    }
    const bytes = OVERHEAD + message.length + explained.bytes
    this.#keep({ denial, subject: origin.container ?? origin.pod ?? `uid:${caller.uid}`, bytes })
  }

  #explain(selectors: Selectors, { unavailable, notes, nearest }: Denied) {
    const explanation = { selectors, unavailable, notes, nearest: nearest && this.#maySearch() ? nearest() : null }
    const bytes = JSON.stringify([[...selectors], unavailable, notes, explanation.nearest]).length
    return bytes > LARGEST_EXPLANATION ? { explanation: null, bytes: 0 } : { explanation, bytes }
  }

  #maySearch(): boolean {
    const second = Math.floor(this.clock.monotonic() / 1000)
    if (this.#searchesIn.second !== second) this.#searchesIn = { second, searches: 0 }
    return ++this.#searchesIn.searches <= SEARCHES_A_SECOND
  }

  #keep(kept: KeptDenial): void {
    const own = this.#subjects.get(kept.subject) ?? new Set<string>()
    this.#subjects.set(kept.subject, own)
    own.add(kept.denial.id)
    this.#kept.set(kept.denial.id, kept)
    this.#bytes += kept.bytes
    if (own.size > LIMITS.aSubject) this.#forgetOldest(own)
    while (this.#kept.size > LIMITS.all || this.#bytes > LIMITS.bytes) this.#forgetOldest(this.#largest())
  }

  /** The subject with the most denials, of these the one that was denied first. */
  #largest(): Set<string> {
    let largest = new Set<string>()
    for (const ids of this.#subjects.values()) if (ids.size > largest.size) largest = ids
    return largest
  }

  #forgetOldest(ids: Set<string>): void {
    const [oldest] = ids
    const kept = oldest === undefined ? undefined : this.#kept.get(oldest)
    if (!kept) return
    ids.delete(kept.denial.id)
    if (ids.size === 0) this.#subjects.delete(kept.subject)
    this.#kept.delete(kept.denial.id)
    this.#bytes -= kept.bytes
    this.#evicted++
  }
}
