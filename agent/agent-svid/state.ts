import type { AgentError, ErrorCode } from '../errors.js'
import { iso } from '../lib/time.js'
import { type AgentSvid, SKEW_MS, validAt } from './agent-svid.js'
import { type Certificates, presentable } from './certificates.js'
import { REFUSED_LONG_MS } from './next-step.js'

/** How often the clocks are compared again while they disagree. */
const DISAGREEMENT_LOOK_MS = 60_000

const AHEAD: Reason = {
  code: 'agent.no_identity',
  message:
    "the clock of this machine is ahead: by the ICP server's clock the agent's certificate has not ended; set the clock",
}

/**
 * `refused`: the server accepts no certificate of the agent, though they are valid. `inactive`: an administrator has
 * revoked the agent.
 */
export const STATE_KINDS = [
  'starting',
  'valid',
  'renewal_failing',
  'refused',
  'inactive',
  'locked_out',
  'expired',
] as const
export type StateKind = (typeof STATE_KINDS)[number]

/** The state of the agent SVID, for `/status` and health. */
export interface AgentSvidState {
  readonly kind: StateKind
  /** The problem and what to do, if there is one. */
  readonly reason?: Reason
  /** Milliseconds since 1970. */
  readonly since: number
}

export interface Reason {
  readonly code: ErrorCode
  readonly message: string
}

/** A problem, and since when it exists. */
export interface AgentSvidTrouble {
  readonly error: AgentError
  readonly since: number
}

export interface StateInput {
  readonly certificates: Certificates
  readonly trouble: AgentSvidTrouble | null
  /** The server requires something that only an administrator can give. */
  readonly locked: AgentSvidTrouble | null
  /** Why the SVID is not on disk. */
  readonly unsaved: AgentSvidTrouble | null
  readonly startedAt: number
  /** How far the server's clock is ahead of ours (ms); null while unknown. */
  readonly skewMs: number | null
  /** What an administrator must do with a new join token, as the end of a sentence. */
  readonly remedy: string
}

/** Problems that need an administrator come first, even while the SVID is valid, because they do not end by themselves. */
export function stateOf(input: StateInput, now: number): AgentSvidState {
  const { certificates, trouble, locked, unsaved, startedAt, skewMs } = input
  const { newest, inactive, refusal } = certificates
  if (inactive) return { kind: 'inactive', reason: madeInactive(input.remedy), since: inactive.since }
  if (locked) return { kind: 'locked_out', ...said(locked) }
  const [first] = presentable(certificates, now)
  if (refusal && first) return { kind: 'refused', reason: allRefused(input), since: refusal.since }
  // If no certificate can be presented, the newest one says why.
  const identity = first ?? newest
  const lost = refusal ? { reason: allRefused(input), since: refusal.since } : { since: startedAt }
  const known = trouble ? said(trouble) : lost
  if (!identity) return { kind: 'starting', ...known }
  if (validAt(identity, now)) {
    if (trouble) return { kind: 'renewal_failing', ...known }
    return { kind: 'valid', since: identity.receivedAt, ...(unsaved && said(unsaved)) }
  }
  if (endedByOurClockAlone(identity, now, skewMs)) return { kind: 'expired', reason: AHEAD, since: identity.notAfter }
  if (!early(identity, now)) return { kind: 'expired', ...known, since: identity.notAfter }
  const begins = iso(identity.notBefore)
  return {
    kind: 'expired',
    reason: {
      code: 'agent.no_identity',
      message: `the clock of this machine is behind: the agent's certificate is valid from ${begins} on`,
    },
    since: startedAt,
  }
}

function madeInactive(remedy: string): Reason {
  return {
    code: 'icp.agent_inactive',
    message: `an administrator has made the agent inactive (403); it needs a join token that was never used: ${remedy}`,
  }
}

function allRefused({ certificates: { newest, older }, remedy }: StateInput): Reason {
  const what = older ? 'accepts neither certificate of the agent' : "does not accept the agent's certificate"
  const next = newest?.workspace
    ? `the node attests again after ${REFUSED_LONG_MS / 60_000} min of that; to attest at once, ${remedy}`
    : 'the agent keeps asking'
  return {
    code: 'agent.certificate_refused',
    message: `the ICP server ${what} (401), as after a change of its CA; ${next}`,
  }
}

/** True if the certificate is not valid yet: our clock went back, because it was valid when it arrived. */
function early(identity: AgentSvid, now: number): boolean {
  return now < identity.notBefore - SKEW_MS
}

/**
 * If only our clock makes the certificate invalid, when to check again; else null. It is not valid yet (our clock went
 * back), or has expired by our clock but not by the server's, as far as that is known.
 */
export function clockWait(identity: AgentSvid, now: number, skewMs: number | null): number | null {
  if (early(identity, now)) return identity.notBefore - SKEW_MS
  if (skewMs === null || !endedByOurClockAlone(identity, now, skewMs)) return null
  return Math.min(identity.notAfter - skewMs, now + DISAGREEMENT_LOOK_MS)
}

function endedByOurClockAlone(identity: AgentSvid, now: number, skewMs: number | null): boolean {
  return skewMs !== null && now >= identity.notAfter && validAt(identity, now + skewMs)
}

/** The next moment at which the SVID becomes valid or expires by time alone; setting the clock may cause an earlier one. */
export function turnsAt(identity: AgentSvid | null, now: number): number {
  if (identity && early(identity, now)) return identity.notBefore - SKEW_MS
  return identity && validAt(identity, now) ? identity.notAfter : Number.POSITIVE_INFINITY
}

function said({ error, since }: AgentSvidTrouble): { reason: Reason; since: number } {
  return { reason: { code: error.code, message: error.message }, since }
}
