import type { Demand } from './demand.js'
import { type EntryState, failureCount, type IssuedState, newestOf, type RenewableSvid } from './entry-state.js'
import type { Snapshot } from './snapshot.js'

/** An SVID that was not used for this time, and for at least one lifetime, is not renewed. */
export const KEEP_MS = 3_600_000
/** How long an entry is still issued for the first time after its callers gave up, because they may retry. */
const RECENT_MS = 120_000
/** An entry sync that is this late comes before all other jobs, because it may withdraw identities. */
const SYNC_LATE_MS = 60_000
/** Entries with this many consecutive failures come after others. */
const AGAIN_AND_AGAIN = 3
/** Up to this pressure, spreading must end before a third of an SVID's life is left, with some reserve. */
const LIGHT = { pressure: 0.4, until: 0.375 } as const
/**
 * From the pressure `from` on, renewals are spread over `part` of the SVIDs' lives, and over `more` in addition at full
 * pressure.
 */
const SPREAD = { from: 0.05, part: 0.4, more: 0.45 } as const

/** A job for the next slot of the standard tier. */
export type Job =
  | { readonly kind: 'sync-entries' }
  /** `uid`: the user of the waiting caller, if any, whose turn this is. */
  | { readonly kind: 'issue'; readonly entryId: string; readonly renewal: boolean; readonly uid?: number }
  | { readonly kind: 'revoke'; readonly serial: string }

export interface PlanInput {
  /** Wall clock. */
  readonly now: number
  readonly snapshot: Pick<Snapshot, 'synced' | 'entries' | 'states'>
  readonly demand: Pick<Demand, 'ids' | 'want' | 'turnOf'>
  /** Entries whose issuance is in progress. */
  readonly inFlight: ReadonlySet<string>
  /** Milliseconds until entry sync is due; 0 or less: now. */
  readonly syncDueIn: number
  /** How crowded the address is, from 0 to 1. */
  readonly pressure: number
  /** Milliseconds since the last renewal was begun; infinite before the first. */
  readonly sinceRenewal: number
  /** Serials of SVIDs of removed entries to revoke. */
  readonly revocations: readonly string[]
}

/** Urgency, most urgent first; a job of a lower class waits while there is one of a higher class. */
const CLASS = {
  overdueSync: 0,
  nearExpiry: 1,
  waiting: 2,
  renewal: 3,
  sync: 4,
  failingRenewal: 5,
  failing: 6,
  recent: 7,
  revocation: 8,
} as const
type Class = (typeof CLASS)[keyof typeof CLASS]

interface CandidateJob {
  readonly class: Class
  /** Within a class the lower rank comes first. */
  readonly rank: number
  readonly job: Job
}

/**
 * Decides the next request to the server when a slot is open, in this order: entry sync if no entries are known or it is
 * late, SVIDs close to expiry, waiting callers (round-robin over uids), renewals by soonest expiry, the regular sync,
 * entries that failed repeatedly, entries whose callers gave up. If agents share an address, renewals that are not close
 * to expiry are spread evenly over the lifetimes, so that each agent uses only the rate that it needs. `waitMs`: no job
 * for this time, unless demand or the snapshot changes.
 */
export function nextJob(input: PlanInput): { readonly job: Job } | { readonly waitMs: number } {
  let best = sync(input)
  let renewal: CandidateJob | null = null
  let waitMs = Math.max(0, input.syncDueIn)
  let renewalsPerMs = 0
  for (const entryId of input.demand.ids()) {
    if (!input.snapshot.entries.has(entryId) || input.inFlight.has(entryId)) continue
    const due = whenDue(entryId, input)
    if (due === null) continue
    const state = input.snapshot.states.get(entryId)
    if (state?.kind === 'issued') renewalsPerMs += 1 / lifeOf(state.held)
    if (due > input.now) {
      waitMs = Math.min(waitMs, due - input.now)
      continue
    }
    const candidate = issuance(entryId, input)
    const spreadFor = state?.kind === 'issued' && candidate.class === CLASS.renewal ? mayWait(state, input) : 0
    if (spreadFor > 0) {
      renewal = better(renewal, candidate)
      waitMs = Math.min(waitMs, spreadFor)
    } else best = better(best, candidate)
  }
  if (renewal) {
    const wait = spacing(input.pressure, renewalsPerMs) - input.sinceRenewal
    if (wait <= 0) best = better(best, renewal)
    else waitMs = Math.min(waitMs, wait)
  }
  const [serial] = input.revocations
  if (serial !== undefined) best ??= { class: CLASS.revocation, rank: 0, job: { kind: 'revoke', serial } }
  return best ? { job: best.job } : { waitMs }
}

function sync({ syncDueIn, snapshot }: PlanInput): CandidateJob | null {
  if (syncDueIn > 0) return null
  const urgent = !snapshot.synced || syncDueIn < -SYNC_LATE_MS
  return { class: urgent ? CLASS.overdueSync : CLASS.sync, rank: 0, job: { kind: 'sync-entries' } }
}

function better(best: CandidateJob | null, other: CandidateJob): CandidateJob {
  if (!best || other.class < best.class) return other
  return other.class === best.class && other.rank < best.rank ? other : best
}

/** Milliseconds between renewals that renew everything in time and leave the rest of the rate to other agents. */
function spacing(pressure: number, renewalsPerMs: number): number {
  return pressure < SPREAD.from ? 0 : (SPREAD.part + SPREAD.more * pressure) / renewalsPerMs
}

/** When an issuance for the entry is due, by the wall clock; null: not unless demand or state changes. */
function whenDue(entryId: string, { demand, snapshot, now }: PlanInput): number | null {
  const want = demand.want(entryId)
  if (!want) return null
  const unusedFor = now - want.lastUsed
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
      if (state.shadow) return null
      const held = newestOf(state)
      if (!isKept(held, unusedFor)) return null
      return Math.max(held.renewAt, state.failures?.retryAt ?? 0)
    }
  }
}

function issuance(entryId: string, { demand, snapshot, now }: PlanInput): CandidateJob {
  const state = snapshot.states.get(entryId)
  if (state?.kind === 'issued') {
    return {
      class: renewalClass(state, now),
      rank: state.held.svid.notAfter,
      job: { kind: 'issue', entryId, renewal: true },
    }
  }
  let uid: number | undefined
  for (const candidate of demand.want(entryId)?.uids.keys() ?? []) {
    if (uid === undefined || demand.turnOf(candidate) < demand.turnOf(uid)) uid = candidate
  }
  if (uid === undefined) return { class: CLASS.recent, rank: 0, job: { kind: 'issue', entryId, renewal: false } }
  return {
    class: isFailing(state) ? CLASS.failing : CLASS.waiting,
    rank: demand.turnOf(uid),
    job: { kind: 'issue', entryId, renewal: false, uid },
  }
}

function renewalClass(state: IssuedState, now: number): Class {
  if (isFailing(state)) return CLASS.failingRenewal
  // With less than a quarter of its life left, an SVID in use comes before new ones.
  return lifeLeft(state, now) < 1 / 4 ? CLASS.nearExpiry : CLASS.renewal
}

/** How long a renewal that is due may be delayed for spreading, in milliseconds. */
function mayWait(state: IssuedState, { pressure, now }: PlanInput): number {
  if (pressure >= LIGHT.pressure) return Number.POSITIVE_INFINITY
  return Math.ceil((lifeLeft(state, now) - LIGHT.until) * lifeOf(newestOf(state)))
}

/** The remaining fraction of the SVID's life, from 0 to 1. */
function lifeLeft(state: IssuedState, now: number): number {
  const held = newestOf(state)
  return (held.svid.notAfter - now) / lifeOf(held)
}

function isFailing(state: EntryState | undefined): boolean {
  return failureCount(state) >= AGAIN_AND_AGAIN
}

/** Whether an SVID that was not used for `unusedFor` milliseconds is still renewed. */
export function isKept(held: RenewableSvid, unusedFor: number): boolean {
  return unusedFor <= Math.max(KEEP_MS, lifeOf(held))
}

function lifeOf({ svid }: RenewableSvid): number {
  return svid.notAfter - svid.notBefore
}
