import { createPublicKey, type KeyObject } from 'node:crypto'
import { pkcs8Der } from '../crypto/keys.js'
import { Secret } from '../crypto/secret.js'
import {
  DEFAULT_SKEW_MS,
  demand,
  LEAF_CHECKS,
  type LeafCheck,
  type Moment,
  parseChain,
  URI_SAN,
} from './leaf-checks.js'
import type { SpiffeId } from './spiffe-id.js'
import type { Authority } from './trust-bundle.js'
import { verifyChain } from './verify-chain.js'
import type { X509Svid } from './x509-svid.js'

export interface VerifyOptions extends Moment {
  /** DER as received, leaf first; the trust anchor may be among them. */
  readonly chain: readonly Uint8Array[]
  /** The private key that the certificate must be for. */
  readonly key: KeyObject
  readonly expected: SpiffeId
  /** The SPIFFE ID that the answer named beside the certificate. */
  readonly named: string
  readonly authorities: readonly Authority[]
}

/** One row per rule. The rules for every leaf are in leaf-checks.ts. */
const CHECKS: readonly LeafCheck<VerifyOptions>[] = [
  URI_SAN,
  [
    'spiffe_id',
    ({ names }, { expected }) =>
      names.uris[0] === expected.uri ? null : `it is for another SPIFFE ID than ${expected.uri}`,
  ],
  [
    'named',
    (_leaf, { expected, named }) =>
      named === expected.uri ? null : `the answer names another SPIFFE ID than ${expected.uri}`,
  ],
  ...LEAF_CHECKS,
  ['public_key', ({ publicKey }, { key }) => (publicKey.equals(createPublicKey(key)) ? null : 'it is for another key')],
]

/**
 * Verifies an SVID before it is served: every rule of X509-SVID 5 for the leaf, a path to an authority (RFC 5280 6.1), our
 * key, and the requested SPIFFE ID in the certificate and in the answer. Its chain holds what peers need besides the trust
 * anchor. Used for received SVIDs and for those from disk.
 * Throws `svid.invalid` or `svid.issuer_unknown` with `details.check` naming the rule.
 */
export function verifyX509Svid(options: VerifyOptions): X509Svid {
  const [leaf, ...intermediates] = parseChain(options.chain)
  demand(leaf, options, CHECKS)
  const { path, anchor } = verifyChain({
    leaf,
    intermediates,
    authorities: options.authorities,
    now: options.now,
    skewMs: options.skewMs ?? DEFAULT_SKEW_MS,
  })
  return {
    spiffeId: options.expected,
    chain: path.map((certificate) => certificate.der),
    privateKey: new Secret(pkcs8Der(options.key)),
    serial: leaf.serial,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    hasBasicConstraints: leaf.hasBasicConstraints,
    authority: anchor.fingerprint,
  }
}
