import { AgentError } from '../errors.js'
import {
  DEFAULT_SKEW_MS,
  demand,
  LEAF_CHECKS,
  type LeafCheck,
  type Moment,
  parseChain,
  spiffeIdOf,
  URI_SAN,
} from './leaf-checks.js'
import { SpiffeId } from './spiffe-id.js'
import type { BundleSet } from './trust-bundle.js'
import { verifyChain } from './verify-chain.js'

export interface PeerOptions extends Moment {
  /** DER as the peer sent it, leaf first. TLS proves that the peer has the key. */
  readonly chain: readonly Uint8Array[]
  readonly bundles: BundleSet
}

const CHECKS: readonly LeafCheck[] = [
  URI_SAN,
  [
    'spiffe_id',
    ({ names }) => {
      const id = SpiffeId.tryParse(names.uris[0] ?? '')
      return typeof id === 'string' ? `its URI name is not a SPIFFE ID: ${id}` : null
    },
  ],
  ...LEAF_CHECKS,
]

/**
 * The SPIFFE ID of a peer's certificate, verified by every rule of X509-SVID 5 and a path to an authority of the peer's own
 * trust domain. Authorities of other trust domains are not used (SPIFFE Trust Domain and Bundle 4). Throws `svid.invalid`
 * or `svid.issuer_unknown` with `details.check`.
 */
export function verifyPeer({ chain, bundles, now, skewMs = DEFAULT_SKEW_MS }: PeerOptions): SpiffeId {
  const [leaf, ...intermediates] = parseChain(chain)
  demand(leaf, { now, skewMs }, CHECKS)
  const spiffeId = spiffeIdOf(leaf)
  const authorities = bundles.get(spiffeId.trustDomain)?.authorities
  if (!authorities) {
    throw new AgentError('svid.issuer_unknown', `there is no bundle of the trust domain ${spiffeId.trustDomain}`, {
      details: { check: 'trust_domain' },
    })
  }
  verifyChain({ leaf, intermediates, authorities, now, skewMs })
  return spiffeId
}
