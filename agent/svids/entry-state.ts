import type { ErrorCode } from '../errors.js'
import type { X509Svid } from '../identity/x509-svid.js'
import { type Backoff, delay } from '../lib/backoff.js'
import { failureClass } from './failure-class.js'

/** An SVID of an entry with the time from which it is renewed (drawn once per SVID). */
export interface RenewableSvid {
  readonly svid: X509Svid
  readonly renewAt: number
}

/** The entry that the server issues instead. */
export interface Shadow {
  readonly by: string
  /** The server has shown it; else it is only expected. */
  readonly told?: true
}

export interface Failures {
  readonly count: number
  /** How many of the failures are due to the entry itself: it was refused, or other entries were issued meanwhile. */
  readonly own?: number
  readonly retryAt: number
  readonly code: ErrorCode
}

export interface IssuedState {
  readonly kind: 'issued'
  readonly held: RenewableSvid
  /** A newer SVID whose issuer other nodes may not know yet; served from `from` on. */
  readonly next?: { readonly held: RenewableSvid; readonly from: number }
  /** Consecutive failures of the renewal; the next attempt is not before `retryAt`. */
  readonly failures?: Failures
  /** The server issues another entry instead: the SVID is served until it expires, and not renewed. */
  readonly shadow?: Shadow
}

/**
 * The state of an entry's X.509-SVID. An entry without a state is idle: no caller has asked for it yet, or its first
 * issuance is in progress. An entry that is gone, or names another identity, starts as idle. Times by the wall clock.
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
  /** The server answers again after an outage, or accepts the agent again. */
  | { readonly kind: 'server-answers' }
  /** The server issues again after the circuit breaker had tripped. */
  | { readonly kind: 'server-issues' }
  /** A condition of issuance changed: another issuer, another trust domain. */
  | { readonly kind: 'conditions-changed' }
  | { readonly kind: 'clock-set-back'; readonly byMs: number }
  /** Another authority issues now: renew at `renewAt` at the latest. */
  | { readonly kind: 'renewal-advanced'; readonly renewAt: number }
  /** The entry's selectors or lifetime changed, so a failure may be over. */
  | { readonly kind: 'entry-changed'; readonly newTtl: boolean }
  | { readonly kind: 'shadowed'; readonly shadow: Shadow }
  | { readonly kind: 'unshadowed' }
  /** The server issued this one where another was expected. */
  | { readonly kind: 'preferred' }
  /** The SVID had expired only by a wrong clock. */
  | { readonly kind: 'valid-again'; readonly held: RenewableSvid }

export interface IssuanceFailed {
  readonly kind: 'failed'
  readonly code: ErrorCode
  readonly message: string
  /** Another entry was issued since this one began to fail, so the server is not at fault. */
  readonly outlived: boolean
  /** A caller waits, and there is no valid SVID. */
  readonly waiting: boolean
  /** `icp_service.retry_backoff`. */
  readonly baseMs: number
  /** In [0, 1]. */
  readonly fraction: number
}

/** After this many consecutive failures of its own, an entry is refused and no longer holds its callers. */
const HOPELESS = 3
/** Back-off for failures that are due to the entry itself, not to an outage. */
const REFUSED: Backoff = { baseMs: 30_000, capMs: 1_800_000 }
/** The cap of the wait for about the first minute if a caller waits without a valid SVID. */
const QUICK_CAP_MS = 5_000
const QUICK_TRIES = 12

/**
 * The state after the event; the same object if nothing changes, undefined for idle. Every change of a state is here.
 */
export function transition(state: EntryState | undefined, event: AlwaysAState): EntryState
export function transition(state: EntryState, event: Event<'preferred'>): EntryState
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
/** Events that need no time. */
type Timeless = Event<'entry-changed' | 'shadowed' | 'unshadowed'>
type OfKnown = Exclude<EntryEvent, Event<'issued' | 'failed' | 'shadowed' | 'valid-again'>>

/** Events that leave an idle entry idle. */
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
    case 'preferred':
      return unshadowed(state) ?? { kind: 'wanted' }
  }
}

/** An SVID of a new issuer is held back while the old one is valid, at most until the last tenth of the old one's life. */
function issued(state: EntryState | undefined, held: RenewableSvid, servableFrom: number, now: number): EntryState {
  if (state?.kind === 'issued') {
    const { notBefore, notAfter } = state.held.svid
    // In the last tenth, clients with the old SVID still have time to fetch the new one.
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
  // A valid SVID shows that the entry could be issued not long ago, so the server may be at fault after all.
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

/** Serves a held-back SVID when its time has come or the old one has expired; drops an expired SVID. */
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

/** The state without its failures; its kind stays. */
function anew(state: EntryState): EntryState {
  const failures = failuresOf(state)
  return failures ? withFailures(state, { count: 0, retryAt: 0, code: failures.code }) : state
}

/** Shifts waiting times, so that they do not last longer because the wall clock was set back. */
function setBack(state: EntryState, byMs: number): EntryState {
  const failures = failuresOf(state)
  const waits = failures ? withFailures(state, { ...failures, retryAt: failures.retryAt - byMs }) : state
  if (waits.kind !== 'issued' || !waits.next) return waits
  return { ...waits, next: { ...waits.next, from: waits.next.from - byMs } }
}

/** Renews the newest SVID at `renewAt`, or earlier if it was due earlier. */
function renewedBy(state: IssuedState, renewAt: number): EntryState {
  if (renewAt >= newestOf(state).renewAt) return state
  if (state.next) return { ...state, next: { ...state.next, held: { ...state.next.held, renewAt } } }
  return { ...state, held: { ...state.held, renewAt } }
}

/** The state without failures. `dueNow`: the lifetime changed, so SVIDs are renewed at once. */
function withoutPast(state: IssuedState, dueNow: boolean): EntryState {
  const { held, next, failures, shadow } = state
  if (!dueNow && !failures && !shadow) return state
  const due = (one: RenewableSvid): RenewableSvid => (dueNow ? { svid: one.svid, renewAt: 0 } : one)
  return { kind: 'issued', held: due(held), ...(next ? { next: { ...next, held: due(next.held) } } : {}) }
}

/** Forgets failures that were due to the other entry. */
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

/** Null if nothing failed, or if the server issues another entry instead. */
export function failuresOf(state: EntryState | undefined): Failures | null {
  return state === undefined || state.kind === 'shadowed' ? null : (state.failures ?? null)
}

/** Number of consecutive failures: the exponent of the back-off. */
export function failureCount(state: EntryState | undefined): number {
  return failuresOf(state)?.count ?? 0
}

/** Number of consecutive failures due to the entry: the exponent of its longer back-off. */
function ownFailures(state: EntryState | undefined): number {
  return failuresOf(state)?.own ?? 0
}

/** The entry that the server issues instead of this one, as far as is known; null: none. */
export function shadowOf(state: EntryState | undefined): Shadow | null {
  if (state?.kind === 'shadowed') return state
  return state?.kind === 'issued' ? (state.shadow ?? null) : null
}

/** The SVID that was issued last and is the one to renew. */
export function newestOf(state: IssuedState): RenewableSvid {
  return (state.next ?? state).held
}

/** When the state changes by time alone; infinite: never. */
export function changesAt(state: EntryState | undefined): number {
  if (state?.kind !== 'issued') return Number.POSITIVE_INFINITY
  return Math.min(state.held.svid.notAfter, state.next?.from ?? Number.POSITIVE_INFINITY)
}
