import type { Selectors } from '../identity/selector.js'
import type { NearEntry } from '../observability/api-events.js'
import type { Denied, Observer } from '../observability/observer.js'
import type { Clock } from '../ports/clock.js'
import { type Origin, originOf } from './origin.js'

/** Limits of remembered denials. A subject that is denied in a loop evicts its own denials before those of others. */
const LIMITS = { aSubject: 50, all: 1_000, bytes: 2_000_000 } as const
/** A longer explanation is dropped: the user who starts a workload chooses the length of its selectors. */
const LARGEST_EXPLANATION = 64_000
/** A search visits all entries, which takes some milliseconds; a flood of denials must not block the event loop. */
const SEARCHES_A_SECOND = 10
/** Estimated bytes of a denial besides its texts. */
const OVERHEAD = 500

/** Why the process was denied, recorded at the first denial. */
export interface DenialExplanation {
  readonly selectors: Selectors
  readonly unavailable: readonly string[]
  readonly notes: readonly { readonly attestor: string; readonly text: string }[]
  /** The entries nearest to matching; null if they were not searched. */
  readonly nearest: readonly NearEntry[] | null
}

/** A denial that is remembered. Times in milliseconds since 1970. */
export interface RecordedDenial extends Origin {
  readonly id: string
  /** Sequence number since the start. */
  readonly number: number
  readonly time: number
  readonly lastTime: number
  /** How often the same process was denied for the same reason. */
  readonly count: number
  readonly pid: number
  readonly uid: number
  readonly gid: number
  /** Identifies the process, also when its pid is reused. */
  readonly process: string
  readonly program: string | null
  readonly method: string
  readonly code: string
  readonly reason: string
  /** Null if it was too large to keep. */
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

  /** Records the denials that event functions report. */
  readonly observer: Observer = {
    denied: ({ pid, uid, gid }, selectors, denied) => this.#denied({ pid, uid, gid }, selectors, denied),
  }

  get size(): number {
    return this.#kept.size
  }

  /** Number of denials evicted to make room for others. */
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

  /** The subject with the most denials; of several, the one that was denied first. */
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
