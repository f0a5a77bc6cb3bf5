import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES, type ErrorCode } from '../../../agent/errors.js'
import { grpcError } from '../../../agent/workload-api/refusal.js'
import { isDenial, statusOf } from '../../../agent/workload-api/status.js'

const CODES = Object.keys(ERROR_CODES) as ErrorCode[]
const of = (wanted: status) => CODES.filter((code) => statusOf(code) === wanted).sort()

describe('the status of an error code', () => {
  it('is InvalidArgument for what can never succeed, and nothing else: it ends watches of go-spiffe for good', () => {
    expect(of(status.INVALID_ARGUMENT)).toEqual(['jwt.invalid', 'request.invalid', 'spiffe_id.invalid'])
  })

  it('is PermissionDenied for who has no identity, as far as anybody can know', () => {
    expect(of(status.PERMISSION_DENIED)).toEqual([
      'caller.executable_changed',
      'caller.exited',
      'caller.foreign_pid_namespace',
      'caller.ids_changed',
      'entry.none',
      'entry.not_entitled',
      'entry.shadowed',
      'icp.no_match',
    ])
  })

  it('is ResourceExhausted for who asks for too much', () => {
    expect(of(status.RESOURCE_EXHAUSTED)).toEqual(['request.too_many'])
  })

  it('is Unavailable for everything else: clients come back', () => {
    const others = CODES.filter((code) => statusOf(code) === status.UNAVAILABLE)
    expect(others).toHaveLength(CODES.length - 3 - 8 - 1)
    for (const code of [
      'agent.starting',
      'agent.stopping',
      'caller.unidentified',
      'attestation.failed',
      'svid.expired',
      'internal',
    ] as const) {
      expect(others).toContain(code)
    }
  })

  it('makes a denial of what is somebody’s decision; that a process has ended is none', () => {
    const decided = of(status.PERMISSION_DENIED).filter((code) => code !== 'caller.exited')
    expect(CODES.filter(isDenial).sort()).toEqual(decided)
  })
})

describe('the message of a status', () => {
  it.each([
    ['half a surrogate pair', 'a\ud800b'],
    ['a pair that is cut in two', `${'x'.repeat(999)}\u{1F600}`],
    ['control characters', 'a\r\nb\u0000'],
    ['nothing', ''],
  ])('can be sent, with %s', (_what, message) => {
    expect(() => encodeURI(grpcError({ code: 'internal', message }).details)).not.toThrow()
  })

  it('is cut to what a header may hold', () => {
    const { details } = grpcError({ code: 'internal', message: 'ä'.repeat(100_000) })
    expect(Buffer.byteLength(encodeURI(details))).toBeLessThan(8_000)
  })

  it('is otherwise what it was', () => {
    const error = grpcError({ code: 'entry.none', message: 'no identity: nö' })
    expect([error.message, error.details, error.code]).toEqual(['no identity: nö', 'no identity: nö', 7])
  })
})
