import { AgentError, type ErrorCode, isServerError } from '../errors.js'
import { iso } from '../lib/time.js'
import type { SentToken } from './record.js'

/** Errors of a renewal that lead to node attestation. */
export const RENEWAL_REFUSED: ReadonlySet<ErrorCode> = new Set(['icp.unauthorized', 'icp.forbidden', 'icp.not_found'])
/** Errors of a node attestation that persist until an administrator acts. */
export const LOCKED_OUT: ReadonlySet<ErrorCode> = new Set([
  'icp.unauthorized',
  'agent.locked_out',
  'agent.token_consumed',
])

/** An attestation that the server answered with 401. */
export interface Refused {
  readonly error: AgentError
  /** Digest of the join token that was sent; null: none was. */
  readonly tokenDigest: string | null
  /** An earlier attempt with the same token whose answer was lost or an error. */
  readonly earlier: SentToken | null
  /** Digest of the token that the present SVID was issued for. */
  readonly usedDigest: string | null
  /** What to do about it, as the end of a sentence. */
  readonly remedy: string
}

/**
 * Errors after which a join token is certainly unused: the request was not sent, or was refused before the server reads
 * the token. After all others (5xx, a timeout, a lost or broken answer) it may be consumed, because the server consumes
 * it before it issues.
 */
const TOKEN_UNTOUCHED: ReadonlySet<ErrorCode> = new Set([
  'icp.tls',
  'icp.bad_request',
  'icp.unauthorized',
  'icp.forbidden',
  'icp.not_found',
  'icp.rate_limited',
])

export function tokenUntouched(error: AgentError): boolean {
  return TOKEN_UNTOUCHED.has(error.code)
}

/**
 * The error for a refused attestation, with what to do: `agent.token_consumed`, `icp.unauthorized` (a token that the
 * server never accepted from this node) or `agent.locked_out` (no token, or one that this node has already used).
 */
export function lockout({ error, tokenDigest, earlier, usedDigest, remedy }: Refused): AgentError {
  if (error.code === 'agent.locked_out') return error
  const [code, reason]: [ErrorCode, string] =
    tokenDigest === null
      ? [
          'agent.locked_out',
          'the ICP server does not let this node attest (401): it wants a join token, or does not accept the evidence',
        ]
      : earlier
        ? [
            'agent.token_consumed',
            `the join token was consumed by an attempt of this node that began at ${iso(earlier.at)} and whose answer was lost or failed`,
          ]
        : tokenDigest === usedDigest
          ? ['agent.locked_out', 'the ICP server wants a fresh join token: this node has already used the one it has']
          : [
              'icp.unauthorized',
              'the ICP server rejects the join token or the evidence (401); the token may be wrong, expired, revoked or used elsewhere',
            ]
  return new AgentError(code, `${reason}; create a join token on the server and ${remedy}`, {
    cause: error,
    details: isServerError(error) ? error.details : {},
  })
}
