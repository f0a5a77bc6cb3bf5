import { type Certificate, parseCertificate } from '../crypto/certificate.js'
import { extensionName } from '../crypto/extensions.js'
import { AgentError } from '../errors.js'
import { SpiffeId } from './spiffe-id.js'
import type { Authority } from './trust-bundle.js'

const certificates = new WeakMap<Authority, Certificate>()

/**
 * An X.509 authority (X509-SVID 4.1, 4.3): a CA certificate that may sign certificates and has no critical extension that
 * the agent cannot check. A SPIFFE ID in it must have no path (X509-SVID 3.2). Expiry is checked later, when a certificate
 * that it signed is used. Throws `svid.invalid` with `details.check`.
 */
export function parseAuthority(der: Uint8Array): Authority {
  const certificate = parseCertificate(der)
  const problem = authorityProblem(certificate)
  if (problem) throw new AgentError('svid.invalid', `not an authority: ${problem}`, { details: { check: 'authority' } })
  const authority = {
    der,
    fingerprint: certificate.fingerprint,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
  }
  certificates.set(authority, certificate)
  return authority
}

/** The parsed certificate of an authority. */
export function certificateOf(authority: Authority): Certificate {
  let certificate = certificates.get(authority)
  if (!certificate) {
    certificate = parseCertificate(authority.der)
    certificates.set(authority, certificate)
  }
  return certificate
}

/** Why a certificate may not sign others; null: it may. Also for intermediates. */
export function authorityProblem(certificate: Certificate): string | null {
  if (!certificate.isCa) return 'it is not a CA (basic constraints)'
  if (!certificate.keyUsage?.has('keyCertSign')) return 'its key usage lacks keyCertSign'
  if (certificate.unhandledCritical.length > 0) {
    return `it has an unknown critical extension (${certificate.unhandledCritical.map(extensionName).join(', ')})`
  }
  for (const uri of certificate.names.uris.filter((name) => name.startsWith('spiffe://'))) {
    const id = SpiffeId.tryParse(uri)
    if (typeof id === 'string' || id.path !== '') return 'its SPIFFE ID is not that of a trust domain'
  }
  return null
}
