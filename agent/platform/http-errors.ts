import { type ExchangeDetails, messageOf } from '../errors.js'
import { HttpError, type HttpFailure, type HttpPeer } from '../ports/http.js'
import { ANY_SERVER, certificateProblem, connectProblem, networkProblem, proxyBefore } from './http-advice.js'
import { ProxyFailure } from './http-proxy.js'

/** Codes of Node and undici for a wrong argument, which is our defect. */
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
 * Converts an exception of undici to an HttpError with the address and, if there is any, advice.
 * `details.clientCertificate` marks a handshake that failed because of our certificate. `proxy`: the proxy without its
 * credentials; if it failed, the message is about it. Every failure that a server or proxy can cause becomes an
 * HttpError, so that none of them can end the agent. Only programming mistakes are returned unchanged.
 */
export function httpError(
  error: unknown,
  address: string,
  proxy: string | null = null,
  peer: HttpPeer = ANY_SERVER,
): unknown {
  if (error instanceof ProxyFailure) return proxyError(error, address, proxy, peer)
  const code = codeOf(error)
  if (isMistake(error, code)) return error
  const way = proxy === null ? '' : throughProxy(proxy)
  const { kind, reason, details, keepCause = true } = meaningOf(error, code, address, peer)
  return new HttpError(kind, `${address}: ${reason}${way}`, {
    ...(keepCause ? { cause: error } : {}),
    details: { address, reason: code, ...(proxy === null ? {} : { proxy }), ...details },
  })
}

/** The end of a message about a server that is behind a proxy. */
export function throughProxy(proxy: string): string {
  return ` (through the proxy ${proxy})`
}

function proxyError(failure: ProxyFailure, address: string, proxy: string | null, peer: HttpPeer): unknown {
  const code = codeOf(failure.cause)
  if (failure.status === null && isMistake(failure.cause, code)) return failure.cause
  const meaning: FailureMeaning =
    failure.status === null
      ? meaningOf(failure.cause, code, address, proxyBefore(peer))
      : { kind: 'unreachable', reason: connectProblem(failure.status), keepCause: false }
  const { kind, reason, keepCause = true } = meaning
  const text = `the proxy ${proxy} of HTTPS_PROXY failed: ${reason}; NO_PROXY exempts the server`
  return new HttpError(kind, `${address}: ${text}`, {
    ...(keepCause ? { cause: failure.cause } : {}),
    details: { address, reason: failure.status ?? code, ...(proxy === null ? {} : { proxy }) },
  })
}

interface FailureMeaning {
  readonly kind: HttpFailure
  readonly reason: string
  readonly details?: ExchangeDetails
  /** False if the original error contains received bytes. */
  readonly keepCause?: boolean
}

function meaningOf(error: unknown, code: string, address: string, peer: HttpPeer): FailureMeaning {
  const certificate = certificateProblem(code, messageOf(error), peer)
  if (certificate !== null) return { kind: 'tls', reason: certificate }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return { kind: 'tls', reason: 'it does not speak TLS on this port' }
  if (/CERTIFICATE_(REQUIRED|EXPIRED|REVOKED|UNKNOWN)|BAD_CERTIFICATE|UNKNOWN_CA/.test(code)) {
    const reason = 'it rejects the client certificate, or requires one'
    return { kind: 'tls', reason, details: { clientCertificate: true } }
  }
  if (code.endsWith('ALERT_HANDSHAKE_FAILURE')) {
    const reason = 'it refused the handshake: it may require a client certificate, or other ciphers'
    return { kind: 'tls', reason }
  }
  if (/^(ERR_SSL|ERR_TLS|ERR_OSSL|CERT_|UNABLE_TO_|UND_ERR_PRX_TLS|EPROTO$)/.test(code)) {
    return { kind: 'tls', reason: `the TLS handshake failed (${code}): TLS 1.2 or newer is needed` }
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW') {
    return { kind: 'too_large', reason: 'the headers of the answer are too large' }
  }
  if (/^HPE_|CONTENT_LENGTH_MISMATCH$|^ERR_ASSERTION$/.test(code) || isParserError(error)) {
    return { kind: 'not_http', reason: 'the answer is not HTTP', keepCause: false }
  }
  return { kind: 'unreachable', reason: networkProblem(code, address, peer) }
}

function isMistake(error: unknown, code: string): boolean {
  if (!(error instanceof Error)) return true
  return code === '' ? OF_THE_LANGUAGE.some((type) => error instanceof type) : MISUSE.has(code)
}

function isParserError(error: unknown): boolean {
  return error instanceof Error && error.name === 'HTTPParserError'
}

/** The first code in the chain of causes; attempts at several addresses are in an AggregateError. */
function codeOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error) || depth > 4) return ''
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code !== '') return code
  if (error instanceof AggregateError) return codeOf(error.errors[0], depth + 1)
  return codeOf(error.cause, depth + 1)
}
