import type { ErrorCode } from '../errors.js'
import type { Match } from '../svids/entry-index.js'
import type { EntryState } from '../svids/entry-state.js'
import type { Snapshot } from '../svids/snapshot.js'

/** The whole input of a decision; nothing else determines a caller's answer. */
export interface DecisionInput {
  /** Why the caller gets nothing (it has exited, runs another program, attestation failed); null: it is attested. */
  readonly refusal: Refusal | null
  /** The first attestation has not finished yet. */
  readonly attesting: boolean
  /** How long to wait for an unavailable platform if that is longer than `holdMs`; else 0. */
  readonly waitMs: number
  readonly match: Match
  readonly snapshot: Pick<Snapshot, 'synced' | 'states' | 'withheld'>
  readonly now: number
  /** How long the call, or this wait of a live stream, has lasted (milliseconds, by the monotonic clock). */
  readonly heldForMs: number
  readonly holdMs: number
  /** Entry ids of the last message on this stream, in order; null before the first. */
  readonly served: readonly string[] | null
  readonly stopping: boolean
  /** Why no new SVIDs are granted now in addition to those served; null or absent: they are granted. */
  readonly heldGrants?: Refusal | null
}

export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}

/** What to do with a call now; valid until something changes or the hold ends. */
export type Decision =
  /** These entries, in this order. */
  | { readonly kind: 'send'; readonly ids: readonly string[] }
  /** Wait at most `forMs` milliseconds more; `reason` is the refusal after that. */
  | { readonly kind: 'hold'; readonly forMs: number; readonly reason: Refusal }
  | ({ readonly kind: 'refuse' } & Refusal)

/** Milliseconds between two decisions while the process cannot be checked (no descriptor is free). */
const LOOK_AGAIN_MS = 500
/** Limit of entries named in one refusal. */
const MOST_SAID = 3
/** Temporary failures, which are retried soon and are not denials. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'caller.unidentified',
  'attestation.failed',
  'attestation.timeout',
  'attestation.platform_missing',
])

/**
 * Decides on X.509-SVIDs, again at each change. Only known selectors grant, and only known answers withdraw. The first
 * identity is the default one (Workload API 8), and never changes because another one is late.
 */
export function decide(c: DecisionInput): Decision {
  return entitlement(c) ?? withoutNew(c, decideIdentities(c))
}

/** The wait for new grants; null if they are made. */
export function heldGrant(c: DecisionInput): Decision | null {
  return c.heldGrants ? hold(c, c.heldGrants.code, c.heldGrants.message) : null
}

/** While no new SVIDs are granted, an open stream keeps those that it has. */
function withoutNew(c: DecisionInput, decision: Decision): Decision {
  const held = heldGrant(c)
  if (held === null || decision.kind !== 'send') return decision
  const known = decision.ids.filter((id) => c.served?.includes(id))
  return known.length > 0 ? { kind: 'send', ids: known } : held
}

/** Decides on bundles: a caller entitled to an identity, issued or not, gets them (Workload API 5.2.2). */
export function decideBundles(
  c: DecisionInput & { readonly available: boolean; readonly openToAll: boolean },
): Decision {
  const denied = entitlement(c)
  if (denied && !(c.openToAll && isNoIdentity(denied))) return denied
  if (!c.available) return hold(c, 'agent.starting', 'no trust bundle has been received yet; try again')
  return { kind: 'send', ids: [] }
}

/** Null if the caller matches at least one entry; else the decision to hold or refuse. */
export function entitlement(c: DecisionInput): Decision | null {
  if (c.stopping) return refuse('agent.stopping', 'the agent is stopping; connect again in a moment')
  if (c.refusal && !PASSING.has(c.refusal.code)) return { kind: 'refuse', ...c.refusal }
  if (c.refusal) return hold(c, c.refusal.code, c.refusal.message, c.refusal.code === 'caller.unidentified')
  if (c.attesting) return hold(c, 'attestation.timeout', 'the caller is still being attested; try again')
  if (!c.snapshot.synced) {
    const why = c.snapshot.withheld ?? 'try again'
    return hold(c, 'agent.starting', `the agent has not received its registration entries yet; ${why}`)
  }
  if (c.match.ids.length > 0) return null
  return uncertainty(c) ?? refuse('entry.none', 'no identity issued: no registration entry matches this process')
}

/** The decision for a caller without a match while a platform is unavailable; null: none is. */
export function uncertainty(c: DecisionInput): Decision | null {
  if (!c.match.uncertain) return null
  if (c.waitMs > c.holdMs) {
    const message = 'the platform knows the caller and has not shown all of it yet; try again'
    return hold({ ...c, holdMs: c.waitMs }, 'attestation.platform_missing', message)
  }
  return hold(c, 'attestation.platform_missing', 'a platform that says what the caller is does not answer; try again')
}

/** Whether the only reason is that the caller matches no known entry. */
export function isNoIdentity(denied: Decision): boolean {
  const code = denied.kind === 'refuse' ? denied.code : denied.kind === 'hold' ? denied.reason.code : null
  return code === 'entry.none' || code === 'attestation.platform_missing'
}

function decideIdentities(c: DecisionInput): Decision {
  const issuable = c.match.ids.filter((id) => !isHopeless(c.snapshot.states.get(id)))
  const [first] = issuable
  if (first === undefined) return hopeless(c)
  const ready = issuable.filter((id) => isValid(c.snapshot.states.get(id), c.now))
  const sendable = withDefault(c, ready, first)
  if (sendable.length === 0) return hold(c, ...pending(c.snapshot.states.get(first), c.snapshot.withheld))
  // On a new call a partial set waits for pending SVIDs; on a live stream a pending one never delays the others.
  const awaited = issuable.some((id) => !ready.includes(id) && isAwaited(c, id))
  if (awaited && c.served === null && c.heldForMs < c.holdMs) {
    return hold(c, 'svid.pending', 'some SVIDs have not been issued yet; try again')
  }
  return { kind: 'send', ids: sendable }
}

/** The entries that may be sent without changing the default identity by accident; empty: none. */
function withDefault(c: DecisionInput, ready: readonly string[], first: string): readonly string[] {
  if (ready[0] === first) return ready
  // An older entry that was added later and is pending does not shrink what is served.
  const servedDefault = c.served?.[0]
  return servedDefault !== undefined && ready.includes(servedDefault) ? ready.slice(ready.indexOf(servedDefault)) : []
}

/** False if the next issuance attempt is after the end of the hold. */
function isAwaited(c: DecisionInput, id: string): boolean {
  const state = c.snapshot.states.get(id)
  if (state?.kind !== 'wanted' || !state.failures) return true
  return state.failures.retryAt < c.now + c.holdMs - c.heldForMs
}

function hopeless(c: DecisionInput): Decision {
  for (const id of c.match.ids) {
    const state = c.snapshot.states.get(id)
    // The server's message may name selectors, so it is logged and not sent to the caller.
    if (state?.kind === 'refused') {
      const message = 'no identity issued: the ICP server refuses to issue it'
      return refuse(state.code, [message, ...shadows(c, (by) => by === id)].join('; '))
    }
  }
  return refuse('entry.shadowed', `no identity issued: ${shadows(c, () => true).join('; ')}`)
}

/** Texts about matching entries that are shadowed by another one. */
function shadows(c: DecisionInput, concerns: (by: string) => boolean): string[] {
  const said = c.match.ids.flatMap((id) => {
    const state = c.snapshot.states.get(id)
    if (state?.kind !== 'shadowed' || !concerns(state.by)) return []
    return [`registration entry ${state.by} wins over entry ${id} with the same selectors, or more of them`]
  })
  return said.slice(0, MOST_SAID)
}

/** `withheld`: why the server issues nothing although it answers. */
function pending(state: EntryState | undefined, withheld: string | null | undefined): [ErrorCode, string] {
  if (state?.kind === 'issued' || (state?.kind === 'wanted' && state.expired)) {
    const why = withheld ?? 'the ICP server may be away'
    return ['svid.expired', `the SVID has expired and could not be renewed; ${why}`]
  }
  if (withheld) return ['svid.pending', `the SVID has not been issued yet; ${withheld}`]
  if (state?.kind === 'wanted' && state.failures) {
    return ['svid.pending', `the SVID could not be issued yet (${state.failures.code}); try again`]
  }
  return ['svid.pending', 'the SVID has not been issued yet; try again']
}

/** `poll`: nothing notifies us; decide again every LOOK_AGAIN_MS. */
function hold(c: DecisionInput, code: ErrorCode, message: string, poll = false): Decision {
  const left = c.holdMs - c.heldForMs
  const forMs = poll ? Math.min(LOOK_AGAIN_MS, left) : left
  return forMs > 0 ? { kind: 'hold', forMs, reason: { code, message } } : refuse(code, message)
}

/** Clients (the Rust crate `spiffe`) search for SPIRE's text `no identity issued`, to wait instead of failing. */
function refuse(code: ErrorCode, message: string): Decision {
  return { kind: 'refuse', code, message }
}

/** The entry will not be issued soon, so no call waits for it. A refused entry still serves a valid SVID. */
function isHopeless(state: EntryState | undefined): boolean {
  return state?.kind === 'refused' || state?.kind === 'shadowed'
}

function isValid(state: EntryState | undefined, now: number): boolean {
  return state?.kind === 'issued' && now < state.held.svid.notAfter
}
