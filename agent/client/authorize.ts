import { SpiffeId } from '../identity/spiffe-id.js'

/**
 * Says whether a peer whose SPIFFE ID is proved may be at the other end. Only `true` admits; whatever it throws
 * refuses.
 */
export type Authorize = (peer: SpiffeId) => boolean

/** Admits every SPIFFE ID that a bundle of ours vouches for, those of federated trust domains among them. */
export function authorizeAny(): Authorize {
  return () => true
}

/** Admits these SPIFFE IDs and no other. Throws `spiffe_id.invalid`. */
export function authorizeOneOf(...ids: readonly (string | SpiffeId)[]): Authorize {
  const admitted = new Set(ids.map((id) => (typeof id === 'string' ? SpiffeId.parse(id) : id).uri))
  return ({ uri }) => admitted.has(uri)
}

/** Admits every SPIFFE ID of a trust domain, which is named as `example.org`. Throws `spiffe_id.invalid`. */
export function authorizeMemberOf(trustDomain: string): Authorize {
  const { trustDomain: admitted } = SpiffeId.ofTrustDomain(trustDomain)
  return ({ trustDomain: found }) => found === admitted
}
