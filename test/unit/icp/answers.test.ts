import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../../agent/errors.js'
import { errorOf } from '../../../agent/icp/answers.js'
import { ENDPOINTS, type ServerEndpoint } from '../../../agent/icp/endpoints.js'
import { excerpt } from '../../../agent/icp/excerpt.js'
import type { HttpResponse } from '../../../agent/ports/http.js'
import { json, text } from '../../fakes/http.js'
import { detailsOf } from '../../support/details.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const meaning = (endpoint: ServerEndpoint, response: HttpResponse) =>
  errorOf({ endpoint, response, secrets: [], now: NOW })
const handler = (status: number, message: string, code = 'SOME_CODE') => json(status, { error: { code, message } })

describe('the meaning of an answer', () => {
  it.each<[ServerEndpoint, HttpResponse, ErrorCode]>([
    ['sign_workload', handler(400, 'Attestation failed: CSR is required for issuance'), 'icp.csr_dropped'],
    [
      'sign_workload',
      handler(400, 'Attestation failed: no workload entry matches the provided selectors'),
      'icp.no_match',
    ],
    ['sign_workload', handler(404, 'no matching entry', 'NOT_FOUND'), 'icp.no_match'],
    ['sign_workload', handler(404, 'workspace not found', 'NOT_FOUND'), 'icp.not_found'],
    ['sign_workload', text(404, '<h1>404</h1>'), 'icp.bad_response'],
    ['sign_workload', json(403, { error: 'blocked' }), 'icp.bad_response'],
    ['issue_jwt', json(404, { error: 'no route' }), 'icp.bad_response'],
    ['issue_jwt', handler(404, 'no such entry', 'NOT_FOUND'), 'icp.not_found'],
    ['sign_workload', handler(404, 'Internal server error', 'INTERNAL_ERROR'), 'icp.server_error'],
    ['issue_jwt', handler(403, 'Internal server error', 'INTERNAL_ERROR'), 'icp.server_error'],
    ['entries', text(404, '<h1>404</h1>'), 'icp.not_found'],
    ['sign_workload', handler(400, 'invalid JSON'), 'icp.bad_request'],
    ['sign_workload', handler(500, 'common name web not allowed by this role'), 'icp.cn_refused'],
    ['attest_node', handler(500, 'the CN is not allowed'), 'icp.cn_refused'],
    ['renew_agent', handler(500, 'common_name missing'), 'icp.cn_refused'],
    [
      'sign_workload',
      handler(400, 'Attestation failed: failed to sign CSR: common name svid@localhost not allowed by this role'),
      'icp.cn_refused',
    ],
    [
      'sign_workload',
      handler(400, 'Attestation failed: Code: 400. Errors:\n\n* email address svid@localhost not allowed by this role'),
      'icp.cn_refused',
    ],
    ['attest_node', json(400, { error: 'common name x not allowed by this role' }), 'icp.cn_refused'],
    ['sign_workload', json(400, { error: 'common name x not allowed by this role' }), 'icp.cn_refused'],
    ['sign_workload', json(400, { error: 'Failed to issue certificate: vault is sealed' }), 'icp.server_error'],
    ['sign_workload', handler(503, 'PKI: common name x not allowed by this role'), 'icp.cn_refused'],
    ['sign_workload', handler(400, 'Attestation failed: failed to issue certificate'), 'icp.server_error'],
    ['sign_workload', handler(400, 'Attestation failed: Vault is sealed'), 'icp.server_error'],
    ['sign_workload', handler(400, 'Attestation failed: invalid CSR signature'), 'icp.bad_request'],
    [
      'sign_workload',
      handler(400, 'Attestation failed: agent a is not authorized for workload spiffe://x/CN/vault'),
      'icp.bad_request',
    ],
    ['entries', handler(400, 'common name'), 'icp.bad_request'],
    ['entries', handler(500, 'common name of the month'), 'icp.server_error'],
    ['sign_workload', handler(500, 'internal error'), 'icp.server_error'],
    ['entries', handler(404, 'CSR is required'), 'icp.not_found'],
    ['renew_agent', handler(401, 'no'), 'icp.unauthorized'],
    ['entries', handler(401, 'no'), 'icp.unauthorized'],
    ['issue_jwt', handler(401, 'Client certificate required'), 'icp.jwt_unauthorized'],
    ['issue_jwt', json(401, { error: 'no certificate' }), 'icp.jwt_unauthorized'],
    ['attest_node', handler(409, 'exists'), 'icp.conflict'],
    ['bundle', handler(500, 'Failed to get CA bundle from Vault', 'INTERNAL_ERROR'), 'icp.no_bundle'],
    ['bundle', text(500, '<h1>500</h1>'), 'icp.no_bundle'],
    ['bundle', handler(404, 'no such workspace', 'NOT_FOUND'), 'icp.no_bundle'],
    ['bundle', handler(503, 'Vault PKI is not configured'), 'icp.server_error'],
    ['jwt_bundle', handler(500, 'oops'), 'icp.server_error'],
    ['revoke_workload', handler(404, 'Workload SVID not found', 'NOT_FOUND'), 'icp.svid_unknown'],
    ['revoke_workload', handler(404, 'Not found', 'NOT_FOUND'), 'icp.not_found'],
    ['revoke_workload', text(404, '<h1>404</h1>'), 'icp.not_found'],
    ['revoke_workload', handler(500, 'Failed to revoke workload SVID'), 'icp.server_error'],
    ['entries', handler(404, 'Workload SVID not found'), 'icp.not_found'],
  ])('of %s %# is told by status and text', (endpoint, response, code) => {
    expect(meaning(endpoint, response).code).toBe(code)
  })

  it('comes with advice and with what the server said, for every endpoint and status', () => {
    for (const endpoint of Object.keys(ENDPOINTS) as ServerEndpoint[]) {
      for (const status of [400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504]) {
        const error = meaning(endpoint, handler(status, 'what it said'))
        expect(error.message).toContain(ENDPOINTS[endpoint].name)
        expect(error.message).toContain(`(${status} SOME_CODE), "what it said": `)
        expect(error.message.length).toBeGreaterThan(60)
        expect(error.details).toMatchObject({ endpoint, status, serverCode: 'SOME_CODE' })
      }
    }
  })

  it("names type and length of a body that is not the server's, never the body", () => {
    const error = meaning('bundle', text(502, '<html>secret proxy page</html>'))
    expect(error.message).toContain('text/html, 30 bytes')
    expect(error.message).not.toContain('secret')
  })
})

describe('a rate limit', () => {
  const limited = (
    headers: Record<string, string>,
    body: unknown = { error: { code: 'RATE_LIMITED', message: 'slow down' } },
  ) => detailsOf(meaning('sign_workload', json(429, body, headers)))

  it.each([
    ['60', 60_000],
    ['0', 0],
    ['7', 7000],
    ['Thu, 01 Jan 2026 00:02:00 GMT', 120_000],
    ['Thu, 01 Jan 2015 00:02:00 GMT', 0],
    ['soon', 60_000],
    ['', 60_000],
    ['999999999', 3_600_000],
  ])('with Retry-After %j waits %i ms', (value, ms) => {
    expect(limited({ 'retry-after': value })['retryAfterMs']).toBe(ms)
  })

  it('without Retry-After waits a minute', () => {
    expect(limited({})['retryAfterMs']).toBe(60_000)
  })

  it('is told apart from the window around the whole service, which answers in another form', () => {
    expect(limited({})['tier']).toBe('standard')
    expect(limited({}, { error: 'rate limit exceeded' })['tier']).toBe('service')
    expect(detailsOf(meaning('attest_node', handler(429, '')))['tier']).toBe('bootstrap')
    expect(detailsOf(meaning('jwt_bundle', handler(429, '')))['tier']).toBe('service')
  })
})

describe('an excerpt', () => {
  it('is short, without control characters, and marks what it left out', () => {
    expect(excerpt('a\u0000b\r\nc\u202ed\u2028e')).toBe('a\\u{0}b\\u{d}\\u{a}c\\u{202e}d\\u{2028}e')
    expect(excerpt('x'.repeat(10_000))).toBe(`${'x'.repeat(300)}…`)
  })

  it('holds no secret, wherever it stands', () => {
    const pem = '-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----'
    const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLWhlcmU'
    expect(excerpt(`a ${pem} b ${jwt} c hunter22`, ['hunter22'])).toBe('a [redacted] b [redacted] c [redacted]')
    expect(excerpt(`cut off ${pem.slice(0, 35)}`)).toBe('cut off [redacted]')
  })
})
