import type { JwtKey } from './jwt-svid.js'

/**
 * A JWKS (RFC 7517) of JWT-SVID keys only; `keys` newest first. Clients keep one key per `kid`, but the server may rotate
 * under the same `kid`: then the newest key has it and an older one has its fingerprint instead, so that clients keep both
 * and can verify tokens without a `kid`.
 */
export function jwksOf(keys: readonly JwtKey[]): Uint8Array {
  const taken = new Set(keys.map(({ jwk }) => jwk.kid))
  const served = new Set<string | undefined>()
  const jwks = keys.map(({ jwk, fingerprint }) => {
    let { kid } = jwk
    if (served.has(kid)) kid = fingerprint
    // Needed only if the server uses the fingerprint of a key as the `kid` of another.
    while (served.has(kid) || (kid !== jwk.kid && taken.has(kid))) kid += '-'
    served.add(kid)
    return { ...jwk, kid }
  })
  return Buffer.from(JSON.stringify({ keys: jwks }))
}
