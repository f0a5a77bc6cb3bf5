import type { ErrorCode } from '../errors.js'
import { type Backoff, delay } from '../lib/backoff.js'
import { failed, failureCount, isDefinite, ownFailures } from './outcomes.js'
import type { EntryState } from './snapshot.js'

/** What the entry itself is to blame for is asked about again ever more seldom; an outage is not its fault. */
const REFUSED: Backoff = { baseMs: 30_000, capMs: 1_800_000 }
/** Somebody who waits and has nothing valid is worth a try every few seconds, for the first minute or so. */
const QUICK_CAP_MS = 5_000
const QUICK_TRIES = 12

export interface Failure {
  readonly code: ErrorCode
  readonly message: string
}

export interface RetryTerms {
  /** Wall clock. */
  readonly now: number
  /** In [0, 1]. */
  readonly fraction: number
  /** `icp_service.retry_backoff`. */
  readonly baseMs: number
  /** Somebody waits for the identity, and there is none that is valid. */
  readonly waiting: boolean
  /** Another entry was issued since this one began to fail, and others are. */
  readonly outlived: boolean
}

/** The state after one more failure, with the moment of the next try in it. */
export function afterFailure(
  before: EntryState | undefined,
  { code, message }: Failure,
  terms: RetryTerms,
): EntryState {
  const { now, outlived } = terms
  const attempt = (delayMs: number) => failed(before, { code, message, retryAt: now + delayMs, outlived })
  const after = attempt(0)
  // Where another SVID of its lives, it could be issued not long ago: the server may be at fault after all.
  const itsOwn = isDefinite(code) || (after.kind !== 'issued' && ownFailures(after) > 0)
  return attempt(delayOf(after, itsOwn, terms))
}

function delayOf(after: EntryState, itsOwn: boolean, { baseMs, fraction, waiting }: RetryTerms): number {
  const count = failureCount(after)
  if (itsOwn) return delay(ownFailures(after), REFUSED, fraction)
  if (!waiting) return delay(count, { baseMs }, fraction)
  if (count <= QUICK_TRIES) return delay(count, { baseMs, capMs: QUICK_CAP_MS }, fraction)
  return delay(count - QUICK_TRIES, { baseMs: QUICK_CAP_MS }, fraction)
}

/** When the next try is, by the wall clock; null where nothing failed. */
export function retryAtOf(state: EntryState): number | null {
  if (state.kind === 'refused') return state.until
  return state.kind === 'shadowed' ? null : (state.failures?.retryAt ?? null)
}
