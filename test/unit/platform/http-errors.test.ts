import { constants } from 'node:os'
import { describe, expect, it } from 'vitest'
import { httpError } from '../../../agent/platform/http-errors.js'
import { HttpError } from '../../../agent/ports/http.js'

const coded = (code: string, cause?: unknown) => Object.assign(new Error('library text', { cause }), { code })
const meaning = (error: unknown) => {
  const made = httpError(error, 'https://icp.example.org')
  return made instanceof HttpError ? made.failure : made
}
/** What Node calls the results of OpenSSL's verification. */
const X509 = `UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_GET_CRL UNABLE_TO_DECRYPT_CERT_SIGNATURE
  UNABLE_TO_DECRYPT_CRL_SIGNATURE UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY CERT_SIGNATURE_FAILURE CRL_SIGNATURE_FAILURE
  CERT_NOT_YET_VALID CERT_HAS_EXPIRED CRL_NOT_YET_VALID CRL_HAS_EXPIRED ERROR_IN_CERT_NOT_BEFORE_FIELD
  ERROR_IN_CERT_NOT_AFTER_FIELD ERROR_IN_CRL_LAST_UPDATE_FIELD ERROR_IN_CRL_NEXT_UPDATE_FIELD OUT_OF_MEM
  DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_GET_ISSUER_CERT_LOCALLY
  UNABLE_TO_VERIFY_LEAF_SIGNATURE CERT_CHAIN_TOO_LONG CERT_REVOKED INVALID_CA PATH_LENGTH_EXCEEDED INVALID_PURPOSE
  CERT_UNTRUSTED CERT_REJECTED HOSTNAME_MISMATCH UNSPECIFIED`.split(/\s+/)

describe('an error of the network', () => {
  it.each([
    ['CERT_HAS_EXPIRED', 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'tls'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'tls'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'tls'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls'],
    ['EPROTO', 'tls'],
    ['ENOTFOUND', 'unreachable'],
    ['EAI_AGAIN', 'unreachable'],
    ['ECONNREFUSED', 'unreachable'],
    ['ECONNRESET', 'unreachable'],
    ['EHOSTUNREACH', 'unreachable'],
    ['UND_ERR_CONNECT_TIMEOUT', 'unreachable'],
    ['UND_ERR_SOCKET', 'unreachable'],
    ['UND_ERR_HEADERS_OVERFLOW', 'too_large'],
    ['HPE_INVALID_CONSTANT', 'not_http'],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'not_http'],
  ])('%s is %s, with the address', (code, expected) => {
    expect(meaning(coded(code))).toBe(expected)
    expect(String(httpError(coded(code), 'https://icp.example.org'))).toContain('https://icp.example.org: ')
  })

  it('of a Unix socket that refuses asks whether it is one, not about host and port', () => {
    const text = String(httpError(coded('ECONNREFUSED'), 'unix:///var/run/docker.sock'))
    expect(text).toContain('is this a socket, not a directory?')
    expect(text).not.toContain('port')
  })

  it('is found under its causes and among several addresses', () => {
    expect(meaning(new Error('outer', { cause: coded('ECONNREFUSED') }))).toBe('unreachable')
    expect(meaning(new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]))).toBe('unreachable')
  })

  it.each(Object.keys(constants.errno))('%s of the system is of the network, with or without a syscall', (code) => {
    const expected = code === 'EPROTO' ? 'tls' : 'unreachable'
    expect(meaning(coded(code))).toBe(expected)
    expect(meaning(Object.assign(coded(code), { syscall: 'connect' }))).toBe(expected)
    expect(meaning(new AggregateError([coded(code)]))).toBe(expected)
  })

  it.each(['AGAIN', 'FAIL', 'FAMILY', 'MEMORY', 'NODATA', 'SYSTEM'])('EAI_%s of DNS is of the network', (code) => {
    expect(meaning(coded(`EAI_${code}`))).toBe('unreachable')
  })

  it.each(X509)('%s of a certificate is of TLS', (code) => {
    expect(meaning(coded(code))).toBe('tls')
  })

  it.each([
    'UND_ERR',
    'UND_ERR_BODY_TIMEOUT',
    'UND_ERR_INFO',
    'UND_ERR_RESPONSE',
    'ERR_STREAM_PREMATURE_CLOSE',
    'ERR_SOCKET_CONNECTION_TIMEOUT',
    'ERR_INVALID_IP_ADDRESS',
    'ERR_NEVER_HEARD_OF',
  ])('%s, which nobody has foreseen, is an unreachable server', (code) => {
    expect(meaning(coded(code))).toBe('unreachable')
  })

  it('without any code is an unreachable server', () => {
    expect(meaning(new Error('library text'))).toBe('unreachable')
    expect(meaning(new AggregateError([]))).toBe('unreachable')
  })

  it('that an assertion of the library met is an answer that is no HTTP', () => {
    expect(meaning(coded('ERR_ASSERTION'))).toBe('not_http')
  })

  it('tells whose certificate key is too weak in the words of OpenSSL', () => {
    const weak = Object.assign(new Error('EE certificate key too weak'), { code: 'UNSPECIFIED' })
    expect(String(httpError(weak, 'https://icp.example.org'))).toContain('key too weak')
  })

  it.each([
    new TypeError('ours'),
    new RangeError('ours'),
    coded('UND_ERR_INVALID_ARG'),
    coded('ERR_INVALID_ARG_TYPE'),
    coded('ERR_INVALID_URL'),
    'no error at all',
  ])('%s that only we can have made stays what it is', (defect) => {
    expect(httpError(defect, 'https://icp.example.org')).toBe(defect)
  })
})
