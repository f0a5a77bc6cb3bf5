import type { ErrorCode } from '../errors.js'
import type { X509Svid } from '../identity/x509-svid.js'
import { type Backoff, delay } from '../lib/backoff.js'
import { failureClass } from './failure-class.js'

/** An SVID of an entry with the moment from which it is worth renewing (drawn once per SVID). */
export interface RenewableSvid {
  readonly svid: X509Svid
  readonly renewAt: number
}

/** The entry that the server issues instead. */
export interface Shadow {
  readonly by: string
  /** The server said so; else it is expected. */
  readonly told?: true
}

export interface Failures {
  readonly count: number
  /** How many of them were the entry's own: it was refused, or others were issued meanwhile. */
  readonly own?: number
  readonly retryAt: number
  readonly code: ErrorCode
}

export interface IssuedState {
  readonly kind: 'issued'
  readonly held: RenewableSvid
  /** A newer SVID of an issuer that other nodes may not know yet, served from `from` on (trust first). */
  readonly next?: { readonly held: RenewableSvid; readonly from: number }
  /** Renewal failed so often in a row; the next try is not before `retryAt`. */
  readonly failures?: Failures
  /** The server issues another entry in its place: it is served to its end, and not renewed. */
  readonly shadow?: Shadow
}

/**
 * The state of an entry's X.509-SVID. An entry without one is idle: either no caller has asked for it yet, or its first
 * issuance is under way. An entry that is gone, or names another identity, starts from idle. Times by the wall clock.
 */
export type EntryState =
  | IssuedState
  | { readonly kind: 'wanted'; readonly failures?: Failures; readonly expired?: true }
  | {
      readonly kind: 'refused'
      readonly code: ErrorCode
      readonly message: string
      readonly until: number
      readonly failures: Failures
    }
  | ({ readonly kind: 'shadowed' } & Shadow)

/** What can happen to an entry. */
export type EntryEvent =
  /** A verified SVID arrived. Its issuer is known to other nodes from `servableFrom` on. */
  | { readonly kind: 'issued'; readonly held: RenewableSvid; readonly servableFrom: number }
  | IssuanceFailed
  | { readonly kind: 'time-passed' }
  /** The server answers again after it did not, or accepts the agent again. */
  | { readonly kind: 'server-answers' }
  /** The server issues again after it did not. */
  | { readonly kind: 'server-issues' }
  /** What issuance depends on is different now: another issuer, another trust domain. */
  | { readonly kind: 'conditions-changed' }
  | { readonly kind: 'clock-set-back'; readonly byMs: number }
  /** Another authority issues now: renew by then, or earlier. */
  | { readonly kind: 'renewal-advanced'; readonly renewAt: number }
  /** Other selectors are a matter of who may have it, and may end what failed. */
  | { readonly kind: 'entry-changed'; readonly newTtl: boolean }
  | { readonly kind: 'shadowed'; readonly shadow: Shadow }
  | { readonly kind: 'unshadowed' }
  /** The clock that had ended this SVID was wrong. */
  | { readonly kind: 'valid-again'; readonly held: RenewableSvid }

export interface IssuanceFailed {
  readonly kind: 'failed'
  readonly code: ErrorCode
  readonly message: string
  /** Since it began to fail, another entry was issued, and others are, so it is not the server that fails. */
  readonly outlived: boolean
  /** Somebody waits for the identity, and there is none that is valid. */
  readonly waiting: boolean
  /** `icp_service.retry_backoff`. */
  readonly baseMs: number
  /** In [0, 1]. */
  readonly fraction: number
}

/** After so many failures in a row, while others are issued, an entry is refused and no longer holds its callers. */
const HOPELESS = 3
/** What the entry itself is to blame for is asked about again ever more seldom; an outage is not its fault. */
const REFUSED: Backoff = { baseMs: 30_000, capMs: 1_800_000 }
/** Somebody who waits and has nothing valid is worth a try every few seconds, for the first minute or so. */
const QUICK_CAP_MS = 5_000
const QUICK_TRIES = 12

/**
 * The state after the event; the same object where nothing changes, undefined for idle. Every change of a state is
 * here.
 */
export function transition(state: EntryState | undefined, event: AlwaysAState): EntryState
export function transition(state: EntryState | undefined, event: Timeless): EntryState | undefined
export function transition(state: EntryState | undefined, event: Event<'issued' | 'failed'>, now: number): EntryState
export function transition(state: EntryState | undefined, event: EntryEvent, now: number): EntryState | undefined
export function transition(state: EntryState | undefined, event: EntryEvent, now = 0): EntryState | undefined {
  switch (event.kind) {
    case 'issued':
      return issued(state, event.held, event.servableFrom, now)
    case 'failed':
      return failed(state, event, now)
    case 'shadowed':
      return state?.kind === 'issued' ? { ...state, shadow: event.shadow } : { kind: 'shadowed', ...event.shadow }
    case 'valid-again':
      return validAgain(state, event.held)
    default:
      return state && changed(state, event, now)
  }
}

type Event<K extends EntryEvent['kind']> = Extract<EntryEvent, { kind: K }>
type AlwaysAState = Event<'shadowed' | 'valid-again'>
/** What no time matters to. */
type Timeless = Event<'entry-changed' | 'shadowed' | 'unshadowed'>
type OfKnown = Exclude<EntryEvent, Event<'issued' | 'failed' | 'shadowed' | 'valid-again'>>

/** What happens only to a state: an idle entry stays idle. */
function changed(state: EntryState, event: OfKnown, now: number): EntryState | undefined {
  switch (event.kind) {
    case 'time-passed':
      return state.kind === 'issued' ? aged(state, now) : state
    case 'server-answers':
      return retried(state, (code) => ['no-answer', 'agent'].includes(failureClass(code)))
    case 'server-issues':
      return retried(state, (code) => failureClass(code) !== 'entry')
    case 'conditions-changed':
      return anew(state)
    case 'clock-set-back':
      return setBack(state, event.byMs)
    case 'renewal-advanced':
      return state.kind === 'issued' ? renewedBy(state, event.renewAt) : state
    case 'entry-changed':
      return state.kind === 'issued' ? withoutPast(state, event.newTtl) : undefined
    case 'unshadowed':
      return unshadowed(state)
  }
}

/** A new issuer's SVID is held back while the old one lives, at most to the last tenth of that life. */
function issued(state: EntryState | undefined, held: RenewableSvid, servableFrom: number, now: number): EntryState {
  if (state?.kind === 'issued') {
    const { notBefore, notAfter } = state.held.svid
    // Whoever holds the old one then still has time to take the new one.
    const from = Math.min(servableFrom, notAfter - (notAfter - notBefore) / 10)
    if (from > now) return { kind: 'issued', held: state.held, next: { held, from } }
  }
  return { kind: 'issued', held }
}

/** A valid SVID is still served. A refused entry stays refused while the server fails. */
function failed(state: EntryState | undefined, event: IssuanceFailed, now: number): EntryState {
  const { code, message, outlived } = event
  const of = failureClass(code)
  const count = failureCount(state) + 1
  const own = ownFailures(state) + (of === 'entry' || (outlived && of === 'unclear') ? 1 : 0)
  // Where another SVID of its lives, it could be issued not long ago: the server may be at fault after all.
  const itsOwn = of === 'entry' || (state?.kind !== 'issued' && own > 0)
  const retryAt = now + (itsOwn ? delay(own, REFUSED, event.fraction) : delayOf(count, event))
  const failures: Failures = { count, ...(own > 0 ? { own } : {}), retryAt, code }
  if (state?.kind === 'issued') return { ...state, failures }
  const hopeless = of === 'entry' || (of === 'unclear' && outlived && count >= HOPELESS)
  if (hopeless) return { kind: 'refused', code, message, until: retryAt, failures }
  if (state?.kind === 'refused') return { ...state, until: retryAt, failures }
  return { kind: 'wanted', failures, ...(state?.kind === 'wanted' && state.expired ? { expired: true as const } : {}) }
}

function delayOf(count: number, { waiting, baseMs, fraction }: IssuanceFailed): number {
  if (!waiting) return delay(count, { baseMs }, fraction)
  if (count <= QUICK_TRIES) return delay(count, { baseMs, capMs: QUICK_CAP_MS }, fraction)
  return delay(count - QUICK_TRIES, { baseMs: QUICK_CAP_MS }, fraction)
}

/** A held-back SVID comes into service when its time has come, or the other has ended; an expired one leaves it. */
function aged(state: IssuedState, now: number): EntryState {
  const { held, next, shadow } = state
  const ends = held.svid.notAfter <= now
  const successor = next && (ends || next.from <= now) ? next.held : null
  if (successor && now < successor.svid.notAfter) {
    return { kind: 'issued', held: successor, ...(shadow ? { shadow } : {}) }
  }
  return ends || successor ? ended(state) : state
}

/** The state after an SVID has expired: if the server refused the next one, callers are not held for it. */
function ended({ shadow, failures }: IssuedState): EntryState {
  if (shadow) return { kind: 'shadowed', ...shadow }
  if (!failures || failureClass(failures.code) !== 'entry') {
    return { kind: 'wanted', expired: true, ...(failures ? { failures } : {}) }
  }
  const { code, retryAt } = failures
  return { kind: 'refused', code, message: `the ICP server refused to renew it (${code})`, until: retryAt, failures }
}

function retried(state: EntryState, mayWorkNow: (code: ErrorCode) => boolean): EntryState {
  const failures = failuresOf(state)
  if (!failures || failures.retryAt <= 0 || !mayWorkNow(failures.code)) return state
  return withFailures(state, { ...failures, retryAt: 0 })
}

/** As if it had not failed before; it stays what it is. */
function anew(state: EntryState): EntryState {
  const failures = failuresOf(state)
  return failures ? withFailures(state, { count: 0, retryAt: 0, code: failures.code }) : state
}

/** What waits does not wait longer because the wall clock was set back. */
function setBack(state: EntryState, byMs: number): EntryState {
  const failures = failuresOf(state)
  const waits = failures ? withFailures(state, { ...failures, retryAt: failures.retryAt - byMs }) : state
  if (waits.kind !== 'issued' || !waits.next) return waits
  return { ...waits, next: { ...waits.next, from: waits.next.from - byMs } }
}

/** The newest SVID of the entry is renewed by then; never later than it would be anyway. */
function renewedBy(state: IssuedState, renewAt: number): EntryState {
  if (renewAt >= newestOf(state).renewAt) return state
  if (state.next) return { ...state, next: { ...state.next, held: { ...state.next.held, renewAt } } }
  return { ...state, held: { ...state.held, renewAt } }
}

/** `dueNow`: another lifetime is wanted, so that what is there is renewed at once. */
function withoutPast(state: IssuedState, dueNow: boolean): EntryState {
  const { held, next, failures, shadow } = state
  if (!dueNow && !failures && !shadow) return state
  const due = (one: RenewableSvid): RenewableSvid => (dueNow ? { svid: one.svid, renewAt: 0 } : one)
  return { kind: 'issued', held: due(held), ...(next ? { next: { ...next, held: due(next.held) } } : {}) }
}

/** What failed because of the other entry is forgotten. */
function unshadowed(state: EntryState): EntryState | undefined {
  if (!shadowOf(state)) return state
  if (state.kind !== 'issued') return undefined
  const { shadow: _, failures, ...rest } = state
  return failures && failures.code !== 'entry.shadowed' ? { ...rest, failures } : rest
}

function validAgain(state: EntryState | undefined, held: RenewableSvid): EntryState {
  if (state?.kind === 'issued') return state
  if (state?.kind !== 'shadowed') return { kind: 'issued', held }
  const { kind: _, ...shadow } = state
  return { kind: 'issued', held, shadow }
}

function withFailures(state: EntryState, failures: Failures): EntryState {
  if (state.kind === 'shadowed') return state
  return state.kind === 'refused' ? { ...state, failures, until: failures.retryAt } : { ...state, failures }
}

/** Null where nothing failed, and where the server issues another entry anyway. */
export function failuresOf(state: EntryState | undefined): Failures | null {
  return state === undefined || state.kind === 'shadowed' ? null : (state.failures ?? null)
}

/** How often in a row it failed: the exponent of the back-off. */
export function failureCount(state: EntryState | undefined): number {
  return failuresOf(state)?.count ?? 0
}

/** How often in a row it was the entry that failed: so grows the wait before it is tried again. */
function ownFailures(state: EntryState | undefined): number {
  return failuresOf(state)?.own ?? 0
}

/** The entry that the server issues in the place of this one, as far as is known; null: none. */
export function shadowOf(state: EntryState | undefined): Shadow | null {
  if (state?.kind === 'shadowed') return state
  return state?.kind === 'issued' ? (state.shadow ?? null) : null
}

/** The SVID that was issued last: the one that is renewed. */
export function newestOf(state: IssuedState): RenewableSvid {
  return (state.next ?? state).held
}

/** The moment at which time alone changes the state; infinite where it does not. */
export function changesAt(state: EntryState | undefined): number {
  if (state?.kind !== 'issued') return Number.POSITIVE_INFINITY
  return Math.min(state.held.svid.notAfter, state.next?.from ?? Number.POSITIVE_INFINITY)
}
