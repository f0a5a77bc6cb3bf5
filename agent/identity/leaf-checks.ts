import { type Certificate, parseCertificate } from '../crypto/certificate.js'
import { CLIENT_AUTH, extensionName, SERVER_AUTH } from '../crypto/extensions.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from './spiffe-id.js'
import { timeProblem, weakness } from './verify-chain.js'

/** The time at which a certificate is checked. */
export interface Moment {
  /** Milliseconds since 1970. */
  readonly now: number
  /** How far the certificate may begin in the future; default 60 s. */
  readonly skewMs?: number
}

/** The value of `details.check`, and why the leaf breaks the rule (null: it does not). */
export type LeafCheck<O = Moment> = readonly [name: string, problem: (leaf: Certificate, options: O) => string | null]

export const DEFAULT_SKEW_MS = 60_000
const MAX_CHAIN = 10

/** X509-SVID 2, 5.2: exactly one URI SAN. Names of other forms are allowed. */
export const URI_SAN: LeafCheck = [
  'uri_san',
  ({ names }) => (names.uris.length === 1 ? null : `it has ${names.uris.length} URI names instead of one`),
]

/** Rules for the leaf of every SVID, ours or a peer's, whose one URI name is a SPIFFE ID. */
export const LEAF_CHECKS: readonly LeafCheck[] = [
  // X509-SVID 3.1, 5.2
  ['path', (leaf) => (spiffeIdOf(leaf).path === '' ? 'the SPIFFE ID of a trust domain cannot authenticate' : null)],
  // RFC 5280 4.2.1.6
  [
    'san_critical',
    ({ subjectEmpty, sanCritical }) =>
      subjectEmpty && !sanCritical ? 'its subject is empty, but its alternative names are not critical' : null,
  ],
  // X509-SVID 4.1
  ['ca', ({ isCa }) => (isCa ? 'it is a CA' : null)],
  // X509-SVID 4.3
  [
    'key_usage',
    ({ keyUsage, keyUsageCritical }) => {
      if (!keyUsage) return 'it has no key usage'
      if (!keyUsageCritical) return 'its key usage is not critical'
      if (!keyUsage.has('digitalSignature')) return 'its key usage lacks digitalSignature'
      return keyUsage.has('keyCertSign') || keyUsage.has('cRLSign')
        ? 'its key usage includes keyCertSign or cRLSign'
        : null
    },
  ],
  // X509-SVID 4.4
  [
    'extended_key_usage',
    ({ extendedKeyUsage: usages }) =>
      !usages || (usages.includes(SERVER_AUTH) && usages.includes(CLIENT_AUTH))
        ? null
        : 'its extended key usage lacks serverAuth or clientAuth',
  ],
  [
    'critical_extension',
    ({ unhandledCritical }) =>
      unhandledCritical.length > 0
        ? `it has an unknown critical extension (${unhandledCritical.map(extensionName).join(', ')})`
        : null,
  ],
  ['signature_algorithm', weakness],
  ['time', (leaf, { now, skewMs = DEFAULT_SKEW_MS }) => timeProblem(leaf, now, skewMs)],
]

/** Throws `svid.invalid` for the first rule that the leaf breaks. */
export function demand<O>(leaf: Certificate, options: O, checks: readonly LeafCheck<O>[]): void {
  for (const [check, problem] of checks) {
    const reason = problem(leaf, options)
    if (reason) throw refused(check, reason)
  }
}

/** Throws `spiffe_id.invalid`. */
export function spiffeIdOf({ names }: Certificate): SpiffeId {
  return SpiffeId.parse(names.uris[0] ?? '')
}

/** A chain as it was received, leaf first. Throws `svid.invalid`. */
export function parseChain(chain: readonly Uint8Array[]): [leaf: Certificate, ...intermediates: Certificate[]] {
  if (chain.length > MAX_CHAIN) throw refused('encoding', `the chain has more than ${MAX_CHAIN} certificates`)
  const [leaf, ...intermediates] = chain.map(parseCertificate)
  if (!leaf) throw refused('encoding', 'the chain is empty')
  return [leaf, ...intermediates]
}

function refused(check: string, reason: string): AgentError {
  return new AgentError('svid.invalid', `certificate rejected: ${reason}`, { details: { check } })
}
