import type { ErrorCode } from '../errors.js'
import { iso } from '../lib/time.js'
import { type EntryState, type Failures, failuresOf, shadowOf } from './entry-state.js'
import type { Snapshot } from './snapshot.js'

/** Why an entry gets no SVID, whichever caller asks for it. */
export interface NotIssued {
  readonly code: ErrorCode
  readonly reason: string
}

/** The status of one entry for `/status`, metrics and lists. Times by the wall clock. */
export interface EntryStatus {
  /** `idle`: no caller has asked for it, or its first issuance is in progress. */
  readonly state: EntryState['kind'] | 'idle'
  /** Expiry of the SVID that is served now; null: none is. */
  readonly svidUntil: number | null
  /** Its SVID has expired, and there is no new one yet. */
  readonly expired: boolean
  /** Empty if it can be issued, as far as is known. */
  readonly notIssued: readonly NotIssued[]
  /** Consecutive failures and the next attempt; null if the last attempt succeeded, or there was none. */
  readonly failures: Failures | null
}

/** Computes the status of an entry; nothing else does. An unknown id is idle. */
export function entryStatus(
  { entries, states }: Pick<Snapshot, 'entries' | 'states'>,
  entryId: string,
  now: number,
): EntryStatus {
  const state = states.get(entryId)
  const ends = state?.kind === 'issued' ? state.held.svid.notAfter : null
  return {
    state: state?.kind ?? 'idle',
    svidUntil: ends !== null && now < ends ? ends : null,
    expired: state?.kind === 'wanted' && state.expired === true,
    notIssued: whyNot(entries, entryId, state),
    failures: failuresOf(state),
  }
}

function whyNot(entries: Snapshot['entries'], id: string, state: EntryState | undefined): readonly NotIssued[] {
  const entry = entries.get(id)
  if (!entry) return []
  const reasons: NotIssued[] = []
  if (state?.kind === 'refused') reasons.push({ code: state.code, reason: state.message })
  const shadow = shadowOf(state)
  if (shadow) {
    const until = state?.kind === 'issued' ? `; its SVID is served until ${iso(state.held.svid.notAfter)}` : ''
    const winner = `${shadow.by} (${entries.get(shadow.by)?.spiffeId.uri ?? 'unknown'})`
    const reason = `entry ${winner} wins over entry ${id} (${entry.spiffeId.uri}) on the server${until}`
    reasons.push({ code: 'entry.shadowed', reason })
  }
  if (entry.selectors.size === 0) {
    reasons.push({ code: 'entry.invalid', reason: 'it has no selectors, so it matches no workload' })
  }
  return reasons
}
