import { createHash } from 'node:crypto'
import { type CryptoKey, errors, importJWK, type JWK, type JWTPayload, jwtVerify } from 'jose'
import type { Secret } from '../crypto/secret.js'
import { invalidJwt, JWT_ALGORITHMS, LEEWAY_SECONDS, readToken } from './jwt-token.js'
import { SpiffeId } from './spiffe-id.js'

const KEY_TYPE: Readonly<Record<string, string>> = { R: 'RSA', P: 'RSA', E: 'EC' }
/** RFC 7518 3.3: at least 2048 bits. */
const MIN_MODULUS_BITS = 2048

/** A public key for JWT-SVIDs, as it is published. */
export interface JwtKey {
  /** Public members only. */
  readonly jwk: JWK
  /** Digest of the public members, similar to RFC 7638; distinguishes keys with the same `kid`. */
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
/** The algorithm of a key without `alg`. */
const CURVE_ALGORITHM: Readonly<Record<string, string>> = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' }
/** JWT-SVID 6.2: keys of another use (X.509, WIT, encryption) are ignored; the ICP server says `sig`. */
const USES: readonly unknown[] = [undefined, 'sig', 'jwt-svid']

/** A key of the server's JWKS, or null if it cannot sign a JWT-SVID. */
export async function parseJwtKey(jwk: Readonly<Record<string, unknown>>): Promise<JwtKey | null> {
  const { kty } = jwk
  const members = typeof kty === 'string' && Object.hasOwn(PUBLIC_MEMBERS, kty) ? (PUBLIC_MEMBERS[kty] ?? []) : []
  if (members.length === 0 || members.some((member) => typeof jwk[member] !== 'string')) return null
  if (!USES.includes(jwk['use'] ?? undefined) || !mayVerify(jwk['key_ops'])) return null
  const alg =
    typeof jwk['alg'] === 'string' ? jwk['alg'] : kty === 'RSA' ? 'RS256' : CURVE_ALGORITHM[String(jwk['crv'])]
  if (alg === undefined || !JWT_ALGORITHMS.includes(alg)) return null
  const material = Object.fromEntries(members.map((member) => [member, jwk[member]]))
  const fingerprint = createHash('sha256')
    .update(JSON.stringify({ kty, ...material }))
    .digest('hex')
  const kid = typeof jwk['kid'] === 'string' && jwk['kid'] !== '' ? jwk['kid'] : fingerprint.slice(0, 32)
  try {
    // JWT-SVID 6.2: consumers of a SPIFFE bundle select these keys by use.
    const published = { kty, kid, alg, use: 'jwt-svid', ...material } as JWK
    const key = (await importJWK({ ...published, use: 'sig' }, alg)) as CryptoKey
    return isLongEnough(key) ? { jwk: published, fingerprint, key } : null
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof DOMException || error instanceof TypeError) return null
    throw error
  }
}

/** Whether an RSA modulus has enough bits, without leading zeros. */
function isLongEnough({ algorithm }: CryptoKey): boolean {
  return !('modulusLength' in algorithm) || Number(algorithm.modulusLength) >= MIN_MODULUS_BITS
}

function mayVerify(operations: unknown): boolean {
  return operations === undefined || operations === null || (Array.isArray(operations) && operations.includes('verify'))
}

/**
 * Verifies a token for the audience at this time: the signature by one of the keys (the one that `kid` names, else any of
 * its type, because the ICP server's tokens have no `kid`), and every rule of JWT-SVID 3 to 5. Throws `jwt.invalid`; with
 * `details.check` `signature` if none of the keys signed it.
 */
export async function verifyJwtSvid(
  token: Secret,
  { audience, keys, now }: { readonly audience: string; readonly keys: readonly JwtKey[]; readonly now: number },
): Promise<JwtSvid> {
  const { algorithm, kid } = readToken(token)
  const named = keys.filter(({ jwk }) => kid !== undefined && jwk.kid === kid)
  const fitting = (named.length > 0 ? named : keys).filter(({ jwk }) => jwk.kty === KEY_TYPE[algorithm[0] ?? ''])
  for (const { key } of fitting) {
    const payload = await verifiedBy(key, token, algorithm, audience, now)
    if (payload) return svidOf(payload, now)
  }
  throw invalidJwt("no key in the trust domain's JWT bundle verifies its signature", 'signature')
}

/** The verified token from its signed claims. */
function svidOf(payload: JWTPayload, now: number): JwtSvid {
  const { sub, exp = Number.NaN, iat } = payload
  const spiffeId = typeof sub === 'string' ? SpiffeId.tryParse(sub) : null
  if (!(spiffeId instanceof SpiffeId)) throw invalidJwt('its subject is not a SPIFFE ID')
  // A JSON number may exceed the range of dates.
  if (Number.isNaN(new Date(exp * 1000).getTime())) throw invalidJwt('its expiry is out of range')
  const issuedAt = iat === undefined || !Number.isFinite(iat) ? now : iat * 1000
  return { spiffeId, claims: payload, issuedAt, expiresAt: exp * 1000 }
}

/** Null if this key did not sign it; throws if it did and a claim is not valid. */
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
    if (error instanceof errors.JWTExpired) throw invalidJwt('it has expired')
    if (error instanceof errors.JWTClaimValidationFailed) throw invalidJwt(`its claim ${error.claim} is not valid now`)
    if (error instanceof errors.JOSEError || error instanceof TypeError) return null
    throw error
  }
}
