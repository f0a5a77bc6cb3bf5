import type { ErrorCode } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { Clock } from '../ports/clock.js'
import { type EntryState, failuresOf, shadowOf } from './entry-state.js'

/** The server is asked to issue for a doubtful entry at most so often. */
const PROBE_EVERY_MS = 60_000
/** Answers that say that the entry is gone: nothing matches its selectors, or something else does. */
const GONE: ReadonlySet<ErrorCode> = new Set(['icp.no_match', 'entry.shadowed'])

/** What to do about a list of entries without any of those that are known. */
export type Doubt = 'read-again' | 'ask' | 'hold'

/**
 * A list that withdraws every identity of a node is either an administrator's doing or a sick server's `null`, on all
 * nodes at once. It is read a second time; then the server is asked to issue for one of the entries: only if it does
 * not know that one either are they gone.
 */
export class WithdrawalDoubt {
  #reads = 0
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** The list names known entries again, or its word counts. */
  settled(): void {
    this.#reads = 0
  }

  next(): Doubt {
    this.#reads++
    if (this.#reads === 1) return 'read-again'
    if (this.clock.monotonic() - this.#askedAt < PROBE_EVERY_MS) return 'hold'
    this.#askedAt = this.clock.monotonic()
    return 'ask'
  }
}

/** An entry whose issuance would tell: one that is served, if any is. */
export function probeEntry(entries: ReadonlyMap<string, Entry>, states: ReadonlyMap<string, EntryState>): Entry | null {
  let found: Entry | null = null
  for (const [id, entry] of entries) {
    if (entry.selectors.size === 0) continue
    const state = states.get(id)
    // Of one in whose place another is issued the server says nothing.
    if (shadowOf(state)) continue
    if (state?.kind === 'issued') return entry
    found ??= entry
  }
  return found
}

/** What the last issuance said of an entry. */
export function isGone(state: EntryState | undefined): boolean {
  const failures = failuresOf(state)
  return failures !== null && GONE.has(failures.code)
}
