import { type ErrorCode, SILENCE } from '../errors.js'
import type { EntryState, HeldSvid } from './snapshot.js'

/** A refusal of one entry, certain as soon as it is heard: asking again soon would say the same. */
const DEFINITE: ReadonlySet<ErrorCode> = new Set([
  'icp.no_match',
  'icp.bad_request',
  'icp.forbidden',
  'icp.conflict',
  'entry.shadowed',
  'entry.trust_domain',
])
/** Of the server as a whole, never of one entry: it does not make an entry hopeless. */
const SERVER_AWAY: ReadonlySet<ErrorCode> = new Set([...SILENCE, 'agent.no_identity'])
/** Of the agent as a whole, which the server does not accept: as little of one entry. */
const OF_THE_AGENT: ReadonlySet<ErrorCode> = new Set(['icp.unauthorized', 'icp.agent_inactive'])
/** After so many failures in a row an entry that others outlive is called refused and holds nobody back. */
const AGAIN_AND_AGAIN = 3

/** The server means this entry, and will say the same of it again. */
export function isDefinite(code: ErrorCode): boolean {
  return DEFINITE.has(code)
}

/** The server refuses whatever this agent asks. */
export function isOfTheAgent(code: ErrorCode): boolean {
  return OF_THE_AGENT.has(code)
}

/** The server did not answer at all. */
export function isServerAway(code: ErrorCode): boolean {
  return SERVER_AWAY.has(code)
}

/**
 * A verified SVID arrived. `from`: its issuer is new to other nodes, so it is held back while the old one lives, at most
 * to the last tenth of that life: whoever holds the old one then has time to take the new one.
 */
export function issued(state: EntryState | undefined, held: HeldSvid, now: number, from: number): EntryState {
  if (state?.kind === 'issued') {
    const { notBefore, notAfter } = state.held.svid
    const latest = Math.min(from, notAfter - (notAfter - notBefore) / 10)
    if (latest > now) return { kind: 'issued', held: state.held, next: { held, from: latest } }
  }
  return { kind: 'issued', held }
}

/**
 * An issuance failed. What is served goes on being served; `retryAt` is when to ask again. `outlived`: since it began to
 * fail, another entry was issued, and others are, so it is not the server that fails. What was refused stays refused
 * while the server fails: that says nothing new of the entry.
 */
export function failed(
  state: EntryState | undefined,
  failure: { readonly code: ErrorCode; readonly message: string; readonly retryAt: number; readonly outlived: boolean },
): EntryState {
  const { code, message, retryAt, outlived } = failure
  const away = SERVER_AWAY.has(code) || OF_THE_AGENT.has(code)
  const own = ownFailures(state) + (DEFINITE.has(code) || (outlived && !away) ? 1 : 0)
  const failures = { count: failureCount(state) + 1, ...(own > 0 ? { own } : {}), retryAt, code }
  if (state?.kind === 'issued') return { ...state, failures }
  const again = outlived && failures.count >= AGAIN_AND_AGAIN && !away
  if (again || DEFINITE.has(code)) return { kind: 'refused', code, message, until: retryAt, failures }
  if (state?.kind === 'refused') return { ...state, until: retryAt, failures }
  return { kind: 'wanted', failures, ...(state?.kind === 'wanted' && state.expired ? { expired: true as const } : {}) }
}

/** How often in a row it failed: the exponent of the back-off. */
export function failureCount(state: EntryState | undefined): number {
  return state === undefined || state.kind === 'shadowed' ? 0 : (state.failures?.count ?? 0)
}

/** How often in a row it was the entry that failed: so grows the wait before it is tried again. */
export function ownFailures(state: EntryState | undefined): number {
  return state === undefined || state.kind === 'shadowed' ? 0 : (state.failures?.own ?? 0)
}

/** What becomes of an entry whose SVID has ended: where the server has refused the next one, nobody waits for it. */
function ended({ shadow, failures }: Extract<EntryState, { kind: 'issued' }>): EntryState {
  if (shadow) return { kind: 'shadowed', ...shadow }
  if (!failures || !DEFINITE.has(failures.code)) {
    return { kind: 'wanted', expired: true, ...(failures ? { failures } : {}) }
  }
  const { code, retryAt } = failures
  return { kind: 'refused', code, message: `the ICP server refused to renew it (${code})`, until: retryAt, failures }
}

/** What the passing of time alone does to the states. */
export interface Tick {
  readonly changed: ReadonlyMap<string, EntryState>
  /** The wall-clock moment of the next such change; infinite when there is none. */
  readonly nextAt: number
}

/** Held-back SVIDs come into service when their time has come, expired ones leave it. */
export function tick(states: ReadonlyMap<string, EntryState>, now: number): Tick {
  const changed = new Map<string, EntryState>()
  let nextAt = Number.POSITIVE_INFINITY
  for (const [id, state] of states) {
    if (state.kind !== 'issued') continue
    let { held, next } = state
    if (next && (next.from <= now || held.svid.notAfter <= now)) {
      held = next.held
      next = undefined
    }
    if (held.svid.notAfter <= now) {
      changed.set(id, ended(state))
      continue
    }
    if (held !== state.held)
      changed.set(id, { kind: 'issued', held, ...(state.shadow ? { shadow: state.shadow } : {}) })
    nextAt = Math.min(nextAt, held.svid.notAfter, next?.from ?? Number.POSITIVE_INFINITY)
  }
  return { changed, nextAt }
}
