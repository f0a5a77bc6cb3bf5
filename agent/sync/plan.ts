import type { Demand } from '../store/demand.js'
import type { EntryState, Snapshot } from '../store/snapshot.js'

/** Nobody has used it for so long (and for at least one lifetime): it is not renewed. */
export const KEEP_MS = 3_600_000
/** A caller that gave up waiting comes back soon: its entry is still worth a first issuance for so long. */
const RECENT_MS = 120_000

/** What is worth the next request of the standard tier. */
export type Job =
  | { readonly kind: 'sync-entries' }
  /** `uid`: on whose behalf, where somebody waits; its turn is taken. */
  | { readonly kind: 'issue'; readonly entryId: string; readonly uid?: number }
  | { readonly kind: 'revoke'; readonly serial: string }

export interface PlanInput {
  /** Wall clock. */
  readonly now: number
  readonly snapshot: Pick<Snapshot, 'synced' | 'entries' | 'states'>
  readonly demand: Pick<Demand, 'ids' | 'want' | 'turnOf'>
  /** Entries whose issuance is under way. */
  readonly inFlight: ReadonlySet<string>
  /** Milliseconds until entry sync is due; 0 or less: now. */
  readonly syncDueIn: number
  /** Serials of SVIDs of removed entries, where revocation is wanted. */
  readonly revocations: readonly string[]
}

/** Urgency, most urgent first; a job of a lower class waits while there is one of a higher class. */
const CLASS = { firstSync: 0, nearExpiry: 1, sync: 2, waiting: 3, renewal: 4, recent: 5, revocation: 6 } as const
type Class = (typeof CLASS)[keyof typeof CLASS]

interface Candidate {
  readonly class: Class
  /** Smaller first within the class. */
  readonly rank: number
  readonly job: Job
}

/**
 * The one decision of what to ask the server next, taken when a slot is open: entries before anything is known,
 * SVIDs close to their end, the regular sync, callers who wait (uids take turns), renewals by soonest expiry, then what
 * was wanted a moment ago. `waitMs` is how long nothing is worth it, unless demand or the snapshot changes.
 */
export function nextJob(input: PlanInput): { readonly job: Job } | { readonly waitMs: number } {
  let best: Candidate | null = null
  let waitMs = Math.max(0, input.syncDueIn)
  const consider = (candidate: Candidate | null) => {
    if (
      candidate &&
      (!best || candidate.class < best.class || (candidate.class === best.class && candidate.rank < best.rank))
    ) {
      best = candidate
    }
  }
  if (input.syncDueIn <= 0) {
    consider({ class: input.snapshot.synced ? CLASS.sync : CLASS.firstSync, rank: 0, job: { kind: 'sync-entries' } })
  }
  for (const entryId of input.demand.ids()) {
    if (!input.snapshot.entries.has(entryId) || input.inFlight.has(entryId)) continue
    const due = whenDue(entryId, input)
    if (due === null) continue
    if (due > input.now) waitMs = Math.min(waitMs, due - input.now)
    else consider(issuance(entryId, input))
  }
  const [serial] = input.revocations
  if (serial !== undefined) consider({ class: CLASS.revocation, rank: 0, job: { kind: 'revoke', serial } })
  return best ? { job: (best as Candidate).job } : { waitMs }
}

/** The wall-clock moment from which an issuance for the entry is worth it; null: never, as things stand. */
function whenDue(entryId: string, { demand, snapshot, now }: PlanInput): number | null {
  const want = demand.want(entryId)
  if (!want) return null
  const unusedFor = want.uids.size > 0 ? 0 : now - want.lastUsed
  const state = snapshot.states.get(entryId)
  switch (state?.kind) {
    case undefined:
    case 'wanted':
      return unusedFor <= RECENT_MS ? (state?.failures?.retryAt ?? now) : null
    case 'refused':
      return unusedFor <= RECENT_MS ? state.until : null
    case 'shadowed':
      return null
    case 'issued': {
      const { svid, renewAt } = (state.next ?? state).held
      if (unusedFor > Math.max(KEEP_MS, svid.notAfter - svid.notBefore)) return null
      return Math.max(renewAt, state.failures?.retryAt ?? 0)
    }
  }
}

function issuance(entryId: string, { demand, snapshot, now }: PlanInput): Candidate {
  const state = snapshot.states.get(entryId)
  if (state?.kind === 'issued') {
    const { notAfter } = state.held.svid
    return {
      class: nearExpiry(state, now) ? CLASS.nearExpiry : CLASS.renewal,
      rank: notAfter,
      job: { kind: 'issue', entryId },
    }
  }
  let uid: number | undefined
  for (const candidate of demand.want(entryId)?.uids.keys() ?? []) {
    if (uid === undefined || demand.turnOf(candidate) < demand.turnOf(uid)) uid = candidate
  }
  if (uid === undefined) return { class: CLASS.recent, rank: 0, job: { kind: 'issue', entryId } }
  return { class: CLASS.waiting, rank: demand.turnOf(uid), job: { kind: 'issue', entryId, uid } }
}

/** Less than a quarter of its life is left: what lives comes before what is new. */
function nearExpiry(state: Extract<EntryState, { kind: 'issued' }>, now: number): boolean {
  const { notBefore, notAfter } = (state.next ?? state).held.svid
  return notAfter - now < (notAfter - notBefore) / 4
}
