import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { httpError } from '../../../agent/platform/http-errors.js'

const coded = (code: string, cause?: unknown) => Object.assign(new Error('library text', { cause }), { code })
const meaning = (error: unknown) => {
  const made = httpError(error, 'https://icp.example.org')
  return made instanceof AgentError ? made.code : made
}

describe('an error of the network', () => {
  it.each([
    ['CERT_HAS_EXPIRED', 'icp.tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'icp.tls'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'icp.tls'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'icp.tls'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'icp.tls'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'icp.tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'icp.tls'],
    ['EPROTO', 'icp.tls'],
    ['ENOTFOUND', 'icp.unreachable'],
    ['EAI_AGAIN', 'icp.unreachable'],
    ['ECONNREFUSED', 'icp.unreachable'],
    ['ECONNRESET', 'icp.unreachable'],
    ['EHOSTUNREACH', 'icp.unreachable'],
    ['UND_ERR_CONNECT_TIMEOUT', 'icp.unreachable'],
    ['UND_ERR_SOCKET', 'icp.unreachable'],
    ['UND_ERR_HEADERS_OVERFLOW', 'icp.too_large'],
    ['HPE_INVALID_CONSTANT', 'icp.bad_response'],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'icp.bad_response'],
  ])('%s is %s, with the address', (code, expected) => {
    expect(meaning(coded(code))).toBe(expected)
    expect(String(httpError(coded(code), 'https://icp.example.org'))).toContain('https://icp.example.org: ')
  })

  it('is found under its causes and among several addresses', () => {
    expect(meaning(new Error('outer', { cause: coded('ECONNREFUSED') }))).toBe('icp.unreachable')
    expect(meaning(new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]))).toBe('icp.unreachable')
  })

  it('that is none of these stays what it is', () => {
    const defect = new TypeError('ours')
    expect(httpError(defect, 'https://icp.example.org')).toBe(defect)
  })
})
