import 'reflect-metadata'
import { X509Certificate } from 'node:crypto'
import { X509Certificate as ParsedCertificate, SubjectAlternativeNameExtension } from '@peculiar/x509'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'

/** The client of a verified certificate. */
export interface PresentedIdentity {
  readonly spiffeId: SpiffeId
  /** Its path begins with /agent/. */
  readonly isAgent: boolean
}

/** Why a client certificate is refused, with the real server's message. */
export interface RefusedCertificate {
  readonly refused: string
}

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17'

/**
 * Verifies a client certificate against the given issuers (PEM) at the server's time (`now`, milliseconds since 1970). TLS
 * only proves that the client has the key, and would use the machine's clock.
 */
export function verifyClient(
  certificate: X509Certificate,
  issuers: readonly string[],
  now: number,
): PresentedIdentity | RefusedCertificate {
  const spiffeId = spiffeIdOf(certificate)
  if (!spiffeId) return { refused: 'No valid SPIFFE ID in client certificate' }
  const authorities = issuers.map((pem) => new X509Certificate(pem))
  const issued = authorities.some((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey))
  const current = Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo)
  const forClients = certificate.keyUsage?.includes(CLIENT_AUTH) ?? false
  if (!issued || !current || !forClients || certificate.ca) {
    return { refused: 'Client certificate could not be verified' }
  }
  return { spiffeId, isAgent: spiffeId.path.startsWith('/agent/') }
}

/** X509-SVID 2: exactly one URI. */
function spiffeIdOf(certificate: X509Certificate): SpiffeId | null {
  const extension = new ParsedCertificate(certificate.raw).getExtension(SUBJECT_ALTERNATIVE_NAME)
  if (!(extension instanceof SubjectAlternativeNameExtension)) return null
  const uris = extension.names.items.filter((name) => name.type === 'url')
  const only = uris[0]
  if (!only || uris.length > 1) return null
  const id = SpiffeId.tryParse(only.value)
  return typeof id === 'string' ? null : id
}
