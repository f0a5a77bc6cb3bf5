import type { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from './spiffe-id.js'

/** JWT-SVID 2.1: no `none`, no HMAC, nothing else. */
export const JWT_ALGORITHMS: readonly string[] = [
  ...['RS256', 'RS384', 'RS512'],
  ...['ES256', 'ES384', 'ES512'],
  ...['PS256', 'PS384', 'PS512'],
]

/** A longer compact JWT-SVID is rejected before it is parsed. */
const MAX_TOKEN_BYTES = 32_768
/** Clients parse claims as nested messages, three for each level, and some allow a hundred. */
const MAX_CLAIMS_DEPTH = 24
/** How far the clocks of issuer and validator may differ. */
export const LEEWAY_SECONDS = 5

/** Header and claims of a token that is not verified. */
export interface UnverifiedJwt {
  readonly algorithm: string
  readonly kid: string | undefined
  readonly subject: SpiffeId
  readonly claims: Readonly<Record<string, unknown>>
}

/** Reads header and claims without verifying the signature. Throws `jwt.invalid`; never quotes the token. */
export function readToken(token: Secret): UnverifiedJwt {
  const text = token.reveal()
  if (text.length > MAX_TOKEN_BYTES) throw invalidJwt(`it is longer than ${MAX_TOKEN_BYTES} bytes`)
  const parts = text.split('.')
  // JWT-SVID 5.1: compact serialization only.
  if (parts.length !== 3 || !parts.every(isBase64url)) {
    throw invalidJwt('it is not in compact serialization')
  }
  const { alg, typ, kid, crit } = objectOf(parts[0] ?? '', 'header')
  if (typeof alg !== 'string' || !JWT_ALGORITHMS.includes(alg)) {
    throw invalidJwt('its algorithm is not one of JWT-SVID 2.1')
  }
  // JWT-SVID 2.3; this also refuses a WIT-SVID (`wit+jwt`).
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw invalidJwt('its type is neither JWT nor JOSE')
  if (crit !== undefined) throw invalidJwt('its header has critical parameters')
  const claims = objectOf(parts[1] ?? '', 'claims')
  if (deeperThan(MAX_CLAIMS_DEPTH, claims)) throw invalidJwt('its claims are nested too deeply')
  // JWT-SVID 3.1
  const sub = claims['sub']
  const subject = typeof sub === 'string' ? SpiffeId.tryParse(sub) : null
  if (!(subject instanceof SpiffeId)) throw invalidJwt('its subject is not a SPIFFE ID')
  return { algorithm: alg, kid: typeof kid === 'string' ? kid : undefined, subject, claims }
}

/**
 * Why a token with these claims cannot be valid for the audience now, whatever its signature; null if it may be. Saves
 * verifying the signature.
 */
export function hopeless(claims: Readonly<Record<string, unknown>>, audience: string, now: number): string | null {
  const { exp, aud } = claims
  if (typeof exp !== 'number') return 'it has no expiry'
  if ((exp + LEEWAY_SECONDS) * 1000 <= now) return 'it has expired'
  return [aud].flat().includes(audience) ? null : 'it is for another audience'
}

/** Without the cause, which may quote the token. */
export function invalidJwt(reason: string, check = 'token'): AgentError {
  return new AgentError('jwt.invalid', `invalid JWT-SVID: ${reason}`, { details: { check } })
}

/** Without padding, and in the one form that such bytes have (RFC 4648 3.5): no two texts are the same token. */
function isBase64url(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
}

function objectOf(part: string, what: 'header' | 'claims'): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
  } catch {
    throw invalidJwt(`its ${what} cannot be read`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidJwt(`its ${what} is not an object`)
  return value as Record<string, unknown>
}

function deeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => deeperThan(levels - 1, member))
}
