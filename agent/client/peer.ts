import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls'
import { AgentError, type DetailsOf, messageOf } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import { verifyPeer } from '../identity/verify-peer.js'
import type { Authorize } from './authorize.js'

/** The verification rejects longer chains; this ends the loop. */
const MAX_CHAIN = 16

/**
 * The verified SPIFFE ID of a TLS peer, admitted by `authorize`. `certificate` is the result of
 * `getPeerCertificate(true)`. Throws `client.peer_refused`; its cause names the violated rule.
 */
export function admittedPeer(
  certificate: PeerCertificate,
  { bundles, now, authorize }: { readonly bundles: BundleSet; readonly now: number; readonly authorize: Authorize },
): SpiffeId {
  let peer: SpiffeId
  try {
    peer = verifyPeer({ chain: chainOf(certificate), bundles, now })
  } catch (cause) {
    if (!(cause instanceof AgentError)) throw cause
    throw refused(messageOf(cause), { cause, details: { reason: cause.code } })
  }
  let admitted: boolean
  try {
    admitted = authorize(peer)
  } catch (cause) {
    throw refused(`${peer.uri} could not be authorized: ${messageOf(cause)}`, { cause, details: { peer: peer.uri } })
  }
  // A promise, which authorize must not return, would be truthy.
  if (admitted === true) return peer
  throw refused(`${peer.uri} is not authorized`, { details: { peer: peer.uri } })
}

/** DER, leaf first; empty if the peer sent no certificate. A root is its own issuer. */
function chainOf(certificate: PeerCertificate | DetailedPeerCertificate): Uint8Array[] {
  const chain: Uint8Array[] = []
  let next: PeerCertificate | DetailedPeerCertificate | undefined = certificate
  for (const seen = new Set<unknown>(); next?.raw && !seen.has(next) && chain.length < MAX_CHAIN; ) {
    seen.add(next)
    chain.push(next.raw)
    next = 'issuerCertificate' in next ? next.issuerCertificate : undefined
  }
  return chain
}

function refused(reason: string, options: { cause?: unknown; details: DetailsOf<'client.peer_refused'> }): AgentError {
  return new AgentError('client.peer_refused', `peer rejected: ${reason}`, options)
}
