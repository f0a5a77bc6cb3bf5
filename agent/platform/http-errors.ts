import { AgentError, type ErrorCode } from '../errors.js'

const RESTART_OF_CLOCK = 'check the clocks of both machines'

/** What is wrong with the server's certificate, by OpenSSL's and Node's codes, and what to do. */
const CERTIFICATE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: `its certificate has expired: renew it, or ${RESTART_OF_CLOCK}`,
  CERT_NOT_YET_VALID: `its certificate is not valid yet: ${RESTART_OF_CLOCK}`,
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name: use that name in icp_service.address',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed: put it into the file of icp_service.trust_bundle_path',
  CERT_REVOKED: 'its certificate was revoked',
  INVALID_PURPOSE: 'its certificate is not meant for servers',
}
const UNKNOWN_CA =
  'its certificate comes from an authority that this machine does not trust: put that authority into the file of ' +
  'icp_service.trust_bundle_path'
for (const code of [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
]) {
  Object.assign(CERTIFICATE, { [code]: UNKNOWN_CA })
}

/** Failures of the network below TLS. */
const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused: is the server running, and are host and port right?',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed while the request was sent',
  ENOTFOUND: 'its host name is unknown: check the name and DNS',
  EAI_AGAIN: 'its host name cannot be looked up now: check DNS',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  ETIMEDOUT: 'the connection timed out',
  ENOENT: 'there is no such socket',
  EACCES: 'permission was denied',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_SOCKET: 'the connection was closed before the answer was complete',
  UND_ERR_ABORTED: 'the proxy refused the connection',
  UND_ERR_DESTROYED: 'the client was closed',
  UND_ERR_CLOSED: 'the client was closed',
}

/**
 * What an exception of the HTTP library means, as `icp.tls`, `icp.unreachable`, `icp.too_large` or `icp.bad_response`,
 * with the address and, where there is any, advice. `details.clientCertificate` marks a handshake that failed over our
 * certificate. Anything else is returned as it is: a defect.
 */
export function httpError(error: unknown, address: string): unknown {
  const code = codeOf(error)
  const made = (kind: ErrorCode, reason: string, details: Readonly<Record<string, unknown>> = {}) =>
    new AgentError(kind, `${address}: ${reason}`, { cause: error, details: { address, reason: code, ...details } })

  const certificate = CERTIFICATE[code]
  if (certificate !== undefined) return made('icp.tls', certificate)
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return made('icp.tls', 'it does not speak TLS on this port')
  if (/CERTIFICATE_(REQUIRED|EXPIRED|REVOKED|UNKNOWN)|BAD_CERTIFICATE|UNKNOWN_CA/.test(code)) {
    return made('icp.tls', 'it does not accept the client certificate, or wants one', { clientCertificate: true })
  }
  if (code.endsWith('ALERT_HANDSHAKE_FAILURE')) {
    return made('icp.tls', 'it refused the handshake: it may want a client certificate, or other ciphers')
  }
  if (/^(ERR_SSL|ERR_TLS|ERR_OSSL|CERT_|UNABLE_TO_|UND_ERR_PRX_TLS|EPROTO)/.test(code)) {
    return made('icp.tls', `the TLS handshake failed (${code}): TLS 1.2 or newer is needed`)
  }
  const network = NETWORK[code]
  if (network !== undefined) return made('icp.unreachable', network)
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return made('icp.too_large', 'the headers of the answer are too large')
  if (/^HPE_|CONTENT_LENGTH_MISMATCH$/.test(code) || isParserError(error)) {
    // The library's error carries the bytes that it could not read: it is left behind.
    return new AgentError('icp.bad_response', `${address}: the answer is no HTTP`, {
      details: { address, reason: code },
    })
  }
  return error
}

function isParserError(error: unknown): boolean {
  return error instanceof Error && error.name === 'HTTPParserError'
}

/** The first code on the way down the causes; attempts at several addresses are bundled in an AggregateError. */
function codeOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error) || depth > 4) return ''
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code !== '') return code
  if (error instanceof AggregateError) return codeOf(error.errors[0], depth + 1)
  return codeOf(error.cause, depth + 1)
}
