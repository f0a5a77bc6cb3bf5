import { createHash } from 'node:crypto'
import { type CryptoKey, decodeProtectedHeader, errors, importJWK, type JWK, type JWTPayload, jwtVerify } from 'jose'
import type { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from './spiffe-id.js'

/** JWT-SVID 2.1: no `none`, no HMAC, nothing else. */
export const JWT_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'] as const

const KEY_TYPE: Readonly<Record<string, string>> = { R: 'RSA', P: 'RSA', E: 'EC' }
/** A compact JWT-SVID longer than this is refused before it is looked at. */
const MAX_TOKEN_BYTES = 32_768
const LEEWAY_SECONDS = 5

/** A public key for JWT-SVIDs, as it is published. */
export interface JwtKey {
  /** Public members only. */
  readonly jwk: JWK
  /** RFC 7638 in spirit: digest of the public members; tells keys apart that bear the same `kid`. */
  readonly fingerprint: string
  readonly key: CryptoKey
}

/** A JWT-SVID that was verified. */
export interface JwtSvid {
  readonly spiffeId: SpiffeId
  readonly claims: Readonly<JWTPayload>
  /** Milliseconds since 1970. */
  readonly issuedAt: number
  readonly expiresAt: number
}

const PUBLIC_MEMBERS: Readonly<Record<string, readonly string[]>> = { RSA: ['n', 'e'], EC: ['crv', 'x', 'y'] }

/** A key of the server's JWKS, or null where it is none that a JWT-SVID can be signed with. */
export async function parseJwtKey(jwk: Readonly<Record<string, unknown>>): Promise<JwtKey | null> {
  const kty = String(jwk['kty'])
  const members = PUBLIC_MEMBERS[kty]
  if (!members || members.some((member) => typeof jwk[member] !== 'string')) return null
  const alg = typeof jwk['alg'] === 'string' ? jwk['alg'] : kty === 'RSA' ? 'RS256' : 'ES256'
  if (!(JWT_ALGORITHMS as readonly string[]).includes(alg)) return null
  const material = Object.fromEntries(members.map((member) => [member, jwk[member]]))
  const fingerprint = createHash('sha256')
    .update(JSON.stringify({ kty, ...material }))
    .digest('hex')
  const kid = typeof jwk['kid'] === 'string' && jwk['kid'] !== '' ? jwk['kid'] : fingerprint.slice(0, 32)
  try {
    // JWT-SVID 6.2: consumers of a SPIFFE bundle select these keys by use.
    const published = { kty, kid, alg, use: 'jwt-svid', ...material } as JWK
    return { jwk: published, fingerprint, key: (await importJWK({ ...published, use: 'sig' }, alg)) as CryptoKey }
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof DOMException || error instanceof TypeError) return null
    throw error
  }
}

/** What a token says of itself, before anything is believed. */
export interface Claimed {
  readonly algorithm: string
  readonly kid: string | undefined
  /** Null where the token has no `sub` that is a SPIFFE ID. */
  readonly subject: SpiffeId | null
  readonly claims: Readonly<Record<string, unknown>>
}

/** Reads header and claims without judging the signature. Throws `jwt.invalid`; never quotes the token. */
export function readToken(token: Secret): Claimed {
  const text = token.reveal()
  if (text.length > MAX_TOKEN_BYTES) throw invalid(`it is longer than ${MAX_TOKEN_BYTES} bytes`)
  const parts = text.split('.')
  // JWT-SVID 5.1: compact serialization only.
  if (parts.length !== 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) {
    throw invalid('it is not in compact serialization')
  }
  const header = decoded(() => decodeProtectedHeader(text), 'header')
  const claims = decoded(
    () => JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString('utf8')) as unknown,
    'claims',
  )
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) throw invalid('its claims are no object')
  const { alg, typ, kid } = header
  if (typeof alg !== 'string' || !(JWT_ALGORITHMS as readonly string[]).includes(alg)) {
    throw invalid('its algorithm is none that a JWT-SVID may have')
  }
  // JWT-SVID 2.3; a WIT-SVID (`wit+jwt`) is thereby refused.
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw invalid('its type is neither JWT nor JOSE')
  if (header['crit'] !== undefined) throw invalid('its header has critical parameters')
  const sub = (claims as Record<string, unknown>)['sub']
  const subject = typeof sub === 'string' ? SpiffeId.tryParse(sub) : null
  return {
    algorithm: alg,
    kid: typeof kid === 'string' ? kid : undefined,
    subject: subject instanceof SpiffeId ? subject : null,
    claims: claims as Record<string, unknown>,
  }
}

/**
 * A token that holds for the audience now: signed by one of the keys (by `kid` where it has one that is known, by any
 * that fits otherwise: the ICP server's tokens have none), every rule of JWT-SVID 3 to 5. Throws `jwt.invalid`.
 */
export async function verifyJwtSvid(
  token: Secret,
  { audience, keys, now }: { readonly audience: string; readonly keys: readonly JwtKey[]; readonly now: number },
): Promise<JwtSvid> {
  const claimed = readToken(token)
  if (!claimed.subject) throw invalid('its subject is no SPIFFE ID')
  const named = keys.filter(({ jwk }) => claimed.kid !== undefined && jwk.kid === claimed.kid)
  const fitting = (named.length > 0 ? named : keys).filter(
    ({ jwk }) => jwk.kty === KEY_TYPE[claimed.algorithm[0] ?? ''],
  )
  if (fitting.length === 0) throw invalid('no key of its trust domain fits')
  for (const { key } of fitting) {
    const payload = await verifiedBy(key, token, claimed.algorithm, audience, now)
    if (!payload) continue
    if (payload.exp === undefined) throw invalid('it has no expiry')
    return {
      spiffeId: claimed.subject,
      claims: payload,
      issuedAt: payload.iat === undefined ? now : payload.iat * 1000,
      expiresAt: payload.exp * 1000,
    }
  }
  throw invalid('its signature is by no key of its trust domain')
}

/** Null where the signature is not by this key; throws where it is and the token is no good all the same. */
async function verifiedBy(
  key: CryptoKey,
  token: Secret,
  algorithm: string,
  audience: string,
  now: number,
): Promise<JWTPayload | null> {
  try {
    const { payload } = await jwtVerify(token.reveal(), key, {
      algorithms: [algorithm],
      audience,
      currentDate: new Date(now),
      clockTolerance: LEEWAY_SECONDS,
      requiredClaims: ['sub', 'aud', 'exp'],
    })
    return payload
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw invalid('it has expired')
    if (error instanceof errors.JWTClaimValidationFailed) throw invalid(`its claim ${error.claim} does not hold`)
    if (error instanceof errors.JOSEError || error instanceof TypeError) return null
    throw error
  }
}

function decoded<T>(decode: () => T, part: string): T {
  try {
    return decode()
  } catch {
    throw invalid(`its ${part} cannot be read`)
  }
}

/** The cause is left out on purpose: it may quote the token. */
function invalid(reason: string): AgentError {
  return new AgentError('jwt.invalid', `not a valid JWT-SVID: ${reason}`)
}
