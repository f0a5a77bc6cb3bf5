import { Secret } from '../crypto/secret.js'
import { AgentError, messageOf } from '../errors.js'
import { readToken } from '../identity/jwt-token.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { RawJwtSvid } from './received.js'

/** A JWT-SVID from the agent. Its claims are parsed; its signature is for the audience to verify. */
export interface HeldJwtSvid {
  readonly spiffeId: SpiffeId
  /** Empty if there is none. */
  readonly hint: string
  readonly token: Secret
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  readonly audience: readonly string[]
}

/** A token that the agent has validated. */
export interface ValidatedJwt {
  readonly spiffeId: SpiffeId
  readonly claims: Readonly<Record<string, unknown>>
}

/** JWKS texts by trust domain, as they were received. */
export type JwtBundleSet = ReadonlyMap<string, string>

/** Checks an answer of FetchJWTSVID (Workload API 6.2.1). Throws `client.bad_response`. */
export function checkJwtSvids(raw: readonly RawJwtSvid[], asked: readonly string[]): readonly HeldJwtSvid[] {
  return refusing(() => {
    if (raw.length === 0) throw new AgentError('jwt.invalid', 'it has no JWT-SVID')
    return raw.map(({ spiffeId, hint, svid }) => {
      const token = new Secret(svid)
      const { subject, claims } = readToken(token)
      const named = SpiffeId.parse(spiffeId)
      if (!subject?.equals(named))
        throw new AgentError('jwt.invalid', 'a token has another subject than the SPIFFE ID sent with it')
      const audience = [claims['aud'] ?? []].flat().map(String)
      if (!asked.every((one) => audience.includes(one))) {
        throw new AgentError('jwt.invalid', 'a token lacks a requested audience')
      }
      const exp = claims['exp']
      if (typeof exp !== 'number') throw new AgentError('jwt.invalid', 'a token has no expiry')
      return { spiffeId: named, hint, token, expiresAt: exp * 1000, audience }
    })
  })
}

/** Checks an answer of ValidateJWTSVID. Throws `client.bad_response`. */
export function checkValidated(raw: { spiffeId: string; claims: Readonly<Record<string, unknown>> }): ValidatedJwt {
  return refusing(() => ({ spiffeId: SpiffeId.parse(raw.spiffeId), claims: raw.claims }))
}

/** Checks a message of FetchJWTBundles: a JWKS for each trust domain. Throws `client.bad_response`. */
export function checkJwtBundles(raw: ReadonlyMap<string, Uint8Array>): JwtBundleSet {
  return refusing(() => {
    if (raw.size === 0) throw new AgentError('jwt.invalid', 'it has no bundle')
    return new Map(
      [...raw].map(([trustDomain, bytes]) => {
        const text = Buffer.from(bytes).toString('utf8')
        const jwks: unknown = JSON.parse(text)
        if (typeof jwks !== 'object' || jwks === null || !('keys' in jwks) || !Array.isArray(jwks.keys)) {
          throw new AgentError('jwt.invalid', 'a bundle is not a JWKS')
        }
        return [trustDomain, text]
      }),
    )
  })
}

/** Without the cause, which may quote a token. */
function refusing<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    const reason = error instanceof AgentError ? messageOf(error) : 'it is malformed'
    throw new AgentError('client.bad_response', `invalid answer of the agent: ${reason}`)
  }
}
