import type { PresentedAt } from '../icp/client-certificates.js'
import { type AgentSvid, validAt } from './agent-svid.js'

/** How long the previous certificate is kept after the server accepted the newest one. */
const OLDER_KEPT_MS = 10 * 60_000
/** Limit of remembered digests of join tokens. */
const MAX_TOKENS = 64

/** The server accepts none of the certificates. */
export interface CertificateRefusal {
  /** Milliseconds since 1970. */
  readonly since: number
  /** The time between the first refusal and the last. */
  readonly forMs: number
  /** When the last refusal was counted, by the monotonic clock. */
  readonly countedAt: number
}

/** An administrator has revoked the agent. */
export interface Inactive {
  /** Milliseconds since 1970. */
  readonly since: number
  /**
   * Digest of the configured join token when the refusal came; null: there was none; undefined: not read yet.
   */
  readonly tokenDigest: string | null | undefined
}

/**
 * The agent's own certificates and the server's answers to them, as one immutable value. For a while after each renewal
 * there are two: a server whose CA has changed accepts certificates of the old CA or of the new one, never of both, and
 * does not announce the change.
 */
export interface Certificates {
  readonly newest: AgentSvid | null
  /** The previous one, with the same agent id and SPIFFE ID. */
  readonly older: AgentSvid | null
  /** Which of them is presented first: the one that the server accepted last. */
  readonly first: 'newest' | 'older'
  /** When the server first accepted the newest. */
  readonly acceptedAt: number | null
  readonly refusal: CertificateRefusal | null
  readonly inactive: Inactive | null
  /** Digests of the last join tokens that were consumed or refused. */
  readonly usedTokens: readonly string[]
  /** Endpoints at which the server fails if a certificate is presented. */
  readonly failsAt: readonly PresentedAt[]
}

export const NO_CERTIFICATES: Certificates = {
  newest: null,
  older: null,
  first: 'newest',
  acceptedAt: null,
  refusal: null,
  inactive: null,
  usedTokens: [],
  failsAt: [],
}

/** The certificates that can be presented at `now`, in the order in which they are tried. */
export function presentable({ newest, older, first }: Certificates, now: number): readonly AgentSvid[] {
  const both = first === 'newest' ? [newest, older] : [older, newest]
  return both.flatMap((identity) => (identity && validAt(identity, now) ? [identity] : []))
}

/** Adds a new certificate; of the former two, the one that was accepted last is kept. */
export function adopted(before: Certificates, identity: AgentSvid): Certificates {
  const last = before.first === 'older' && before.older ? before.older : before.newest
  const { agentId, spiffeId, serial, tokenDigest } = identity
  const kept = last && last.agentId === agentId && last.spiffeId.equals(spiffeId) && last.serial !== serial
  return {
    newest: identity,
    older: kept ? last : null,
    first: 'newest',
    acceptedAt: null,
    refusal: null,
    inactive: null,
    usedTokens: withToken(before.usedTokens, tokenDigest),
    failsAt: [],
  }
}

/** The server answered a request under the certificate of this serial number, or (null) under none. */
export function accepted(before: Certificates, serial: string | null, now: number): Certificates {
  const { newest, older, first, acceptedAt, refusal, inactive } = before
  const taken =
    serial === null ? null : serial === newest?.serial ? 'newest' : serial === older?.serial ? 'older' : null
  const at = taken === 'newest' ? (acceptedAt ?? now) : acceptedAt
  if (refusal === null && inactive === null && at === acceptedAt && (taken === null || taken === first)) return before
  return { ...before, first: taken ?? first, acceptedAt: at, refusal: null, inactive: null }
}

/** The server refused every certificate that could be presented. */
export function refused(before: Certificates, { now, monotonic }: { now: number; monotonic: number }): Certificates {
  const { refusal } = before
  if (!refusal) return { ...before, refusal: { since: now, forMs: 0, countedAt: monotonic } }
  const forMs = refusal.forMs + Math.max(0, monotonic - refusal.countedAt)
  return { ...before, refusal: { ...refusal, forMs, countedAt: monotonic } }
}

/** The server fails at this endpoint if a certificate is presented. */
export function failing(before: Certificates, place: PresentedAt): Certificates {
  return before.failsAt.includes(place) ? before : { ...before, failsAt: [...before.failsAt, place] }
}

/** An administrator has revoked the agent. Changes nothing if that is already known. */
export function madeInactive(before: Certificates, now: number): Certificates {
  if (before.inactive) return before
  // The server recognised the agent, so the certificate itself is accepted.
  return { ...before, refusal: null, inactive: { since: now, tokenDigest: undefined } }
}

/** The join token was read. The first read after a revocation fixes which token is older than it. */
export function tokenSeen(before: Certificates, tokenDigest: string | null): Certificates {
  const { inactive } = before
  if (!inactive || inactive.tokenDigest !== undefined) return before
  return { ...before, inactive: { ...inactive, tokenDigest } }
}

/** The token was consumed or refused. */
export function tokenSpent(before: Certificates, tokenDigest: string | null): Certificates {
  const usedTokens = withToken(before.usedTokens, tokenDigest)
  return usedTokens === before.usedTokens ? before : { ...before, usedTokens }
}

/**
 * True if the agent should attest with this token at once: it was never used and, if an administrator revoked the agent,
 * it came after that.
 */
export function isFresh({ newest, inactive, usedTokens }: Certificates, tokenDigest: string | null): boolean {
  if (tokenDigest === null || tokenDigest === newest?.tokenDigest || usedTokens.includes(tokenDigest)) return false
  return inactive === null || (inactive.tokenDigest !== undefined && inactive.tokenDigest !== tokenDigest)
}

/** When the older certificate and its key are erased; infinite if there is none. */
export function olderEndsAt({ older, acceptedAt }: Certificates): number {
  if (!older) return Number.POSITIVE_INFINITY
  return Math.min(older.notAfter, acceptedAt === null ? Number.POSITIVE_INFINITY : acceptedAt + OLDER_KEPT_MS)
}

export function withoutOlder(before: Certificates): Certificates {
  return before.older ? { ...before, older: null, first: 'newest' } : before
}

function withToken(tokens: readonly string[], digest: string | null): readonly string[] {
  return digest === null || tokens.includes(digest) ? tokens : [...tokens, digest].slice(-MAX_TOKENS)
}
