import type { DescService, Message } from '@bufbuild/protobuf'
import type { ServiceDefinition, UntypedHandleCall } from '@grpc/grpc-js'
import type { JwtKey } from '../../identity/jwt-svid.js'
import type { BundleSet } from '../../identity/trust-bundle.js'
import type { HeldJwt } from '../../svids/jwt-cache.js'
import type { View } from '../../svids/view.js'

/** How one of the two dialects looks on the wire; everything else is shared. */
export interface Dialect {
  readonly name: 'spiffe' | 'authsec'
  readonly service: DescService
  /** The standard demands `workload.spiffe.io: true` with every call (Workload Endpoint 6). */
  readonly requiresHeader: boolean
  x509Svids(view: View): Buffer
  x509Bundles(bundles: BundleSet): Buffer
  readJwtSvidRequest(request: Message): { readonly audience: readonly string[]; readonly spiffeId: string }
  jwtSvids(tokens: readonly HeldJwt[]): Buffer
  jwtBundles(bundles: JwtBundles): Buffer
  readValidateRequest(request: Message): { readonly audience: string; readonly svid: string }
  validated(token: { readonly spiffeId: string; readonly claims: Readonly<Record<string, unknown>> }): Buffer
}

/** The keys of JWT-SVIDs and the trust domains that they speak for. The same object as long as nothing changes. */
export interface JwtBundles {
  readonly trustDomains: readonly string[]
  readonly keys: readonly JwtKey[]
}

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

/** Any call, as far as counting it needs. */
export interface RunningCall {
  getPeer(): string
  /** `cancelled` comes at every end. */
  once(event: 'cancelled', ended: () => void): unknown
}

/** A service as it is added to the server. */
export interface ServiceRegistration {
  readonly definition: ServiceDefinition
  readonly handlers: Readonly<Record<string, UntypedHandleCall>>
}

/** Encodes each value once, however many streams send it. */
export function encodedOnce<T extends object>(encode: (value: T) => Uint8Array): (value: T) => Buffer {
  const known = new WeakMap<T, Buffer>()
  return (value) => {
    let message = known.get(value)
    if (!message) {
      message = Buffer.from(encode(value))
      known.set(value, message)
    }
    return message
  }
}
