import type { JwtKey } from './jwt-svid.js'

/**
 * A JWKS (RFC 7517) of JWT-SVID keys and of no others; `keys` newest first. Clients keep one key a `kid`, and the server
 * may rotate under the same one: the newest bears it, and an older one bears its fingerprint, so that tokens that name no
 * `kid` hold by either.
 */
export function jwksOf(keys: readonly JwtKey[]): Uint8Array {
  const taken = new Set(keys.map(({ jwk }) => jwk.kid))
  const served = new Set<string | undefined>()
  const jwks = keys.map(({ jwk, fingerprint }) => {
    let { kid } = jwk
    if (served.has(kid)) kid = fingerprint
    // Only a server that names a key after the fingerprint of another.
    while (served.has(kid) || (kid !== jwk.kid && taken.has(kid))) kid += '-'
    served.add(kid)
    return { ...jwk, kid }
  })
  return Buffer.from(JSON.stringify({ keys: jwks }))
}
