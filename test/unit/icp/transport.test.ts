import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../../agent/errors.js'
import { ICP_SERVER, icpError } from '../../../agent/icp/transport.js'
import { httpError } from '../../../agent/platform/http-errors.js'
import { HttpError, type HttpFailure, type HttpPeer } from '../../../agent/ports/http.js'

describe('an exchange that failed on the way is, for the ICP server,', () => {
  it.each<[HttpFailure, ErrorCode]>([
    ['unreachable', 'icp.unreachable'],
    ['timeout', 'icp.timeout'],
    ['tls', 'icp.tls'],
    ['too_large', 'icp.too_large'],
    ['not_http', 'icp.bad_response'],
  ])('%s: %s, with message, details and cause', (failure, code) => {
    const cause = new Error('below')
    const error = icpError(new HttpError(failure, 'what happened', { cause, details: { reason: 'EPIPE' } }))
    expect(error).toMatchObject({ code, message: 'what happened', cause, details: { reason: 'EPIPE' } })
  })

  it('nothing else: a defect stays a defect', () => {
    const defect = new TypeError('ours')
    expect(icpError(defect)).toBe(defect)
  })
})

describe('advice', () => {
  const said = (code: string, peer?: HttpPeer) =>
    String(httpError(Object.assign(new Error('x'), { code }), 'https://a', null, peer))

  it('names the settings of the ICP server', () => {
    expect(said('UNABLE_TO_GET_ISSUER_CERT_LOCALLY', ICP_SERVER)).toMatch(/the file of icp_service\.trust_bundle_path$/)
    expect(said('HOSTNAME_MISMATCH', ICP_SERVER)).toMatch(/use that name in icp_service\.address$/)
  })

  it('names no setting to a client that was told none', () => {
    expect(said('UNABLE_TO_GET_ISSUER_CERT_LOCALLY')).toMatch(/an authority that this machine does not trust$/)
    expect(said('HOSTNAME_MISMATCH')).toMatch(/for another host name$/)
    expect(said('CERT_HAS_EXPIRED')).toMatch(/check the clocks of both machines$/)
  })
})
