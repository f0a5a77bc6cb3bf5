import { AgentError, type ErrorCode, messageOf } from '../errors.js'
import { certificateProblem, networkProblem } from './http-advice.js'

/** Codes of Node and undici for a wrong argument: only we can have passed it. */
const MISUSE = new Set([
  'ERR_INVALID_ARG_TYPE',
  'ERR_INVALID_ARG_VALUE',
  'ERR_INVALID_CHAR',
  'ERR_INVALID_HTTP_TOKEN',
  'ERR_INVALID_THIS',
  'ERR_INVALID_URL',
  'ERR_HTTP_INVALID_HEADER_VALUE',
  'ERR_MISSING_ARGS',
  'ERR_OUT_OF_RANGE',
  'ERR_UNESCAPED_CHARACTERS',
  'UND_ERR_INVALID_ARG',
  'UND_ERR_INVALID_RETURN_VALUE',
  'UND_ERR_NOT_SUPPORTED',
])
const OF_THE_LANGUAGE = [TypeError, RangeError, ReferenceError, SyntaxError]

/**
 * What an exception of the HTTP library means, as `icp.tls`, `icp.unreachable`, `icp.too_large` or `icp.bad_response`,
 * with the address and, where there is any, advice. `details.clientCertificate` marks a handshake that failed over our
 * certificate. Whatever can come from outside becomes one of these, known or not: nobody on the way to the server may
 * end the agent. Only a programming mistake is returned as it is: misuse of the library, or an error of the language.
 */
export function httpError(error: unknown, address: string): unknown {
  const code = codeOf(error)
  if (isMistake(error, code)) return error
  const made = (kind: ErrorCode, reason: string, details: Readonly<Record<string, unknown>> = {}) =>
    new AgentError(kind, `${address}: ${reason}`, { cause: error, details: { address, reason: code, ...details } })

  const certificate = certificateProblem(code, messageOf(error))
  if (certificate !== null) return made('icp.tls', certificate)
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return made('icp.tls', 'it does not speak TLS on this port')
  if (/CERTIFICATE_(REQUIRED|EXPIRED|REVOKED|UNKNOWN)|BAD_CERTIFICATE|UNKNOWN_CA/.test(code)) {
    return made('icp.tls', 'it does not accept the client certificate, or wants one', { clientCertificate: true })
  }
  if (code.endsWith('ALERT_HANDSHAKE_FAILURE')) {
    return made('icp.tls', 'it refused the handshake: it may want a client certificate, or other ciphers')
  }
  if (/^(ERR_SSL|ERR_TLS|ERR_OSSL|CERT_|UNABLE_TO_|UND_ERR_PRX_TLS|EPROTO$)/.test(code)) {
    return made('icp.tls', `the TLS handshake failed (${code}): TLS 1.2 or newer is needed`)
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return made('icp.too_large', 'the headers of the answer are too large')
  if (/^HPE_|CONTENT_LENGTH_MISMATCH$|^ERR_ASSERTION$/.test(code) || isParserError(error)) {
    // The library's error carries the bytes that it could not read: it is left behind.
    return new AgentError('icp.bad_response', `${address}: the answer is no HTTP`, {
      details: { address, reason: code },
    })
  }
  return made('icp.unreachable', networkProblem(code))
}

function isMistake(error: unknown, code: string): boolean {
  if (!(error instanceof Error)) return true
  return code === '' ? OF_THE_LANGUAGE.some((type) => error instanceof type) : MISUSE.has(code)
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
