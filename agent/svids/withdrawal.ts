import type { ErrorCode } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { Clock } from '../ports/clock.js'
import { type EntryState, failuresOf, shadowOf } from './entry-state.js'

/** Minimum time between probe issuances. */
const PROBE_EVERY_MS = 60_000
/** Errors that show that the entry is gone: no entry, or another one, matches its selectors. */
const GONE: ReadonlySet<ErrorCode> = new Set(['icp.no_match', 'entry.shadowed'])

/** What to do after a list without any of the known entries. */
export type Doubt = 'read-again' | 'ask' | 'hold'

/**
 * A list that withdraws every identity of a node is either what an administrator did, or `null` from a faulty server on
 * all nodes at once. So the agent reads it a second time, and then asks the server to issue for one of the entries: only
 * if the server does not know that entry either are the entries gone.
 */
export class WithdrawalDoubt {
  #reads = 0
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** The list names known entries again, or the withdrawal is confirmed. */
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

/** The entry to probe with: one that is served, if any is. */
export function probeEntry(entries: ReadonlyMap<string, Entry>, states: ReadonlyMap<string, EntryState>): Entry | null {
  let found: Entry | null = null
  for (const [id, entry] of entries) {
    if (entry.selectors.size === 0) continue
    const state = states.get(id)
    // A shadowed entry is never issued, so it proves nothing.
    if (shadowOf(state)) continue
    if (state?.kind === 'issued') return entry
    found ??= entry
  }
  return found
}

/** Whether the last issuance showed that the entry is gone. */
export function isGone(state: EntryState | undefined): boolean {
  const failures = failuresOf(state)
  return failures !== null && GONE.has(failures.code)
}
