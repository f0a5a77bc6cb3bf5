import { createPublicKey, type JsonWebKey, verify } from 'node:crypto'

/** What a token must be. */
export interface ExpectedToken {
  readonly spiffeId: string
  readonly audience: string
  /** Keys by trust domain, as FetchJWTBundles gives them; null where they could not be had. */
  readonly bundles: ReadonlyMap<string, Buffer> | null
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface CheckedToken {
  readonly violations: readonly string[]
  /** Milliseconds since 1970; 0 where the token says nothing of it. */
  readonly expiresAt: number
}

/** What is wrong with a JWT-SVID (RS256), read with nothing but Node's crypto. */
export function checkToken(token: string, { spiffeId, audience, bundles, now }: ExpectedToken): CheckedToken {
  const violations: string[] = []
  const [header = '', payload = '', signature = ''] = token.split('.')
  const claims = read(payload) as { sub?: string; aud?: string | string[]; exp?: number }
  const aud = [claims.aud ?? []].flat()
  if (claims.sub !== spiffeId) violations.push(`a JWT-SVID of ${claims.sub}`)
  if (aud.length !== 1 || aud[0] !== audience)
    violations.push(`a JWT-SVID for ${aud.join(', ')} instead of ${audience}`)
  const expiresAt = (claims.exp ?? 0) * 1000
  if (now >= expiresAt) violations.push(`a JWT-SVID that expired ${now - expiresAt} ms ago`)
  if (bundles && !keysOf(spiffeId, bundles).some((key) => signs(key, `${header}.${payload}`, signature))) {
    violations.push('a JWT-SVID of no key known')
  }
  return { violations, expiresAt }
}

function keysOf(spiffeId: string, bundles: ReadonlyMap<string, Buffer>): readonly JsonWebKey[] {
  const trustDomain = spiffeId.split('/').slice(0, 3).join('/')
  const bundle = bundles.get(trustDomain)
  return bundle ? (JSON.parse(bundle.toString('utf8')) as { keys: JsonWebKey[] }).keys : []
}

function signs(jwk: JsonWebKey, signed: string, signature: string): boolean {
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return verify('RSA-SHA256', Buffer.from(signed), key, Buffer.from(signature, 'base64url'))
}

function read(part: string): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
}
