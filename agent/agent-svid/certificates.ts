import type { PresentedAt } from '../icp/client-certificates.js'
import { type AgentSvid, validAt } from './agent-svid.js'

/** So long after the server accepted the newest certificate the key of the one before is of no use any more. */
const OLDER_KEPT_MS = 10 * 60_000
/** Digests of so many join tokens are remembered. */
const MAX_TOKENS = 64

/** Since when the server accepts none of the certificates. */
export interface CertificateRefusal {
  /** Milliseconds since 1970. */
  readonly since: number
  /** For how long that is known: between the first refusal and the last. */
  readonly forMs: number
  /** When it was last counted, by the clock that never jumps. */
  readonly countedAt: number
}

/** An administrator has revoked the agent. */
export interface Inactive {
  /** Milliseconds since 1970. */
  readonly since: number
  /**
   * Digest of the join token that lay there when the refusal came, null where there was none; undefined: not known yet.
   */
  readonly tokenDigest: string | null | undefined
}

/**
 * The agent's own certificates and the server's answers to them, as one immutable value. There are two for a while
 * after each renewal: a server whose CA has changed accepts certificates of the old one or of the new one, never of
 * both, and it does not announce when it changes from one to the other.
 */
export interface Certificates {
  readonly newest: AgentSvid | null
  /** The one before, of the same agent id and SPIFFE ID. */
  readonly older: AgentSvid | null
  /** Which of them is presented first: the one that was accepted last. */
  readonly first: 'newest' | 'older'
  /** When the newest was first accepted. */
  readonly acceptedAt: number | null
  readonly refusal: CertificateRefusal | null
  readonly inactive: Inactive | null
  /** Digests of join tokens that are gone, or were refused; the last ones. */
  readonly usedTokens: readonly string[]
  /** Where the server fails on a certificate. */
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

/** Those that can be presented at `now`, the one to present first in front. */
export function presentable({ newest, older, first }: Certificates, now: number): readonly AgentSvid[] {
  const both = first === 'newest' ? [newest, older] : [older, newest]
  return both.flatMap((identity) => (identity && validAt(identity, now) ? [identity] : []))
}

/** A new one was earned; of those that were there, the one that was accepted last stays beside it. */
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

/** The server fails on a certificate there. */
export function failing(before: Certificates, place: PresentedAt): Certificates {
  return before.failsAt.includes(place) ? before : { ...before, failsAt: [...before.failsAt, place] }
}

/** An administrator has revoked the agent; where that is known already, nothing changes. */
export function madeInactive(before: Certificates, now: number): Certificates {
  if (before.inactive) return before
  // It was recognised: the certificate is not what is wrong.
  return { ...before, refusal: null, inactive: { since: now, tokenDigest: undefined } }
}

/** The join token was looked for; the first look after the refusal tells which one had come before. */
export function tokenSeen(before: Certificates, tokenDigest: string | null): Certificates {
  const { inactive } = before
  if (!inactive || inactive.tokenDigest !== undefined) return before
  return { ...before, inactive: { ...inactive, tokenDigest } }
}

/** The token is gone, or is refused. */
export function tokenSpent(before: Certificates, tokenDigest: string | null): Certificates {
  const usedTokens = withToken(before.usedTokens, tokenDigest)
  return usedTokens === before.usedTokens ? before : { ...before, usedTokens }
}

/**
 * True for a token that an attestation is worth, whatever the pace: never used and, after an administrator revoked the
 * agent, newer than that.
 */
export function isFresh({ newest, inactive, usedTokens }: Certificates, tokenDigest: string | null): boolean {
  if (tokenDigest === null || tokenDigest === newest?.tokenDigest || usedTokens.includes(tokenDigest)) return false
  return inactive === null || (inactive.tokenDigest !== undefined && inactive.tokenDigest !== tokenDigest)
}

/** From when on the older certificate and its key are of no use; infinite where there is none. */
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
