import { createPublicKey, type KeyObject } from 'node:crypto'
import { type Certificate, parseCertificate } from '../crypto/certificate.js'
import { CLIENT_AUTH, extensionName, SERVER_AUTH } from '../crypto/extensions.js'
import { pkcs8Der } from '../crypto/keys.js'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { SpiffeId } from './spiffe-id.js'
import type { Authority } from './trust-bundle.js'
import { timeProblem, verifyChain, weakness } from './verify-chain.js'
import type { X509Svid } from './x509-svid.js'

export interface VerifyOptions {
  /** DER as received, leaf first; the trust anchor may be among them. */
  readonly chain: readonly Uint8Array[]
  /** The private key that the certificate must be for. */
  readonly key: KeyObject
  readonly expected: SpiffeId
  /** The SPIFFE ID that the answer named beside the certificate. */
  readonly named: string
  readonly authorities: readonly Authority[]
  /** Milliseconds since 1970. */
  readonly now: number
  /** How far the certificate may begin in the future; default 60 s. */
  readonly skewMs?: number
}

const MAX_CHAIN = 10
const DEFAULT_SKEW_MS = 60_000

/** One row a rule: the name that `details.check` bears, and why the leaf breaks the rule (null: it does not). */
const CHECKS: Readonly<Record<string, (leaf: Certificate, options: VerifyOptions) => string | null>> = {
  // X509-SVID 2, 5.2: exactly one URI SAN. Names of other forms may stand beside it.
  uri_san: ({ names }) => (names.uris.length === 1 ? null : `it has ${names.uris.length} URI names instead of one`),
  spiffe_id: ({ names }, { expected }) =>
    names.uris[0] === expected.uri ? null : `it is for another SPIFFE ID than ${expected.uri}`,
  named: (_leaf, { expected, named }) =>
    named === expected.uri ? null : `the answer names another SPIFFE ID than ${expected.uri}`,
  // X509-SVID 3.1, 5.2
  path: (_leaf, { expected }) => (expected.path === '' ? 'the SPIFFE ID of a trust domain cannot authenticate' : null),
  // RFC 5280 4.2.1.6
  san_critical: ({ subjectEmpty, sanCritical }) =>
    subjectEmpty && !sanCritical ? 'its subject is empty, but its alternative names are not critical' : null,
  // X509-SVID 4.1
  ca: ({ isCa }) => (isCa ? 'it is a CA' : null),
  // X509-SVID 4.3
  key_usage: ({ keyUsage, keyUsageCritical }) => {
    if (!keyUsage) return 'it has no key usage'
    if (!keyUsageCritical) return 'its key usage is not critical'
    if (!keyUsage.has('digitalSignature')) return 'its key usage lacks digitalSignature'
    return keyUsage.has('keyCertSign') || keyUsage.has('cRLSign') ? 'its key usage is that of a CA' : null
  },
  // X509-SVID 4.4
  extended_key_usage: ({ extendedKeyUsage: usages }) =>
    !usages || (usages.includes(SERVER_AUTH) && usages.includes(CLIENT_AUTH))
      ? null
      : 'its extended key usage lacks serverAuth or clientAuth',
  critical_extension: ({ unhandledCritical }) =>
    unhandledCritical.length > 0
      ? `it has a critical extension that is not understood (${unhandledCritical.map(extensionName).join(', ')})`
      : null,
  signature_algorithm: weakness,
  public_key: ({ publicKey }, { key }) => (publicKey.equals(createPublicKey(key)) ? null : 'it is for another key'),
  time: (leaf, { now, skewMs = DEFAULT_SKEW_MS }) => timeProblem(leaf, now, skewMs),
}

/**
 * An SVID that may be served: every rule of X509-SVID 5 for the leaf, a path to an authority (RFC 5280 6.1), our key,
 * and the SPIFFE ID that was asked for, in the certificate and in the answer. Its chain holds what peers need beside
 * the trust anchor. The same function judges what was just received and what comes back from disk.
 * Throws `svid.invalid` or `svid.issuer_unknown` with `details.check` naming the rule.
 */
export function verifyX509Svid(options: VerifyOptions): X509Svid {
  const [leaf, ...intermediates] = parseChain(options.chain)
  if (!leaf) throw invalid('encoding', 'there is none')
  for (const [check, problem] of Object.entries(CHECKS)) {
    const reason = problem(leaf, options)
    if (reason) throw invalid(check, reason)
  }
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

function parseChain(chain: readonly Uint8Array[]): Certificate[] {
  if (chain.length > MAX_CHAIN) throw invalid('encoding', `its chain is longer than ${MAX_CHAIN}`)
  return chain.map(parseCertificate)
}

function invalid(check: string, reason: string): AgentError {
  return new AgentError('svid.invalid', `the certificate is refused: ${reason}`, { details: { check } })
}
