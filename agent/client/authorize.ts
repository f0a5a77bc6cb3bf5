import { SpiffeId } from '../identity/spiffe-id.js'

/**
 * Decides whether to accept a peer with this verified SPIFFE ID. Only `true` accepts; an exception rejects.
 */
export type Authorize = (peer: SpiffeId) => boolean

/** Accepts every SPIFFE ID that one of our bundles verifies, also of federated trust domains. */
export function authorizeAny(): Authorize {
  return () => true
}

/** Accepts these SPIFFE IDs and no other. Throws `spiffe_id.invalid`. */
export function authorizeOneOf(...ids: readonly (string | SpiffeId)[]): Authorize {
  const admitted = new Set(ids.map((id) => (typeof id === 'string' ? SpiffeId.parse(id) : id).uri))
  return ({ uri }) => admitted.has(uri)
}

/** Accepts every SPIFFE ID of a trust domain, given as `example.org`. Throws `spiffe_id.invalid`. */
export function authorizeMemberOf(trustDomain: string): Authorize {
  const { trustDomain: admitted } = SpiffeId.ofTrustDomain(trustDomain)
  return ({ trustDomain: found }) => found === admitted
}
