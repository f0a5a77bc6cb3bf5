import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { callError, mayPass } from '../../../agent/client/call-error.js'
import { AgentError } from '../../../agent/errors.js'

const endpoint = { kind: 'unix', path: '/a.sock' } as const
const failed = (code: status, details = '') => callError(Object.assign(new Error('x'), { code, details }), endpoint)

describe('each status has its meaning, and says whether to ask again', () => {
  for (const [code, meaning, again] of [
    [status.INVALID_ARGUMENT, 'request.invalid', false],
    [status.UNIMPLEMENTED, 'client.unimplemented', false],
    [status.PERMISSION_DENIED, 'client.denied', true],
    [status.UNAVAILABLE, 'client.unavailable', true],
    [status.CANCELLED, 'client.unavailable', true],
    [status.RESOURCE_EXHAUSTED, 'request.too_many', true],
    [status.DEADLINE_EXCEEDED, 'client.timeout', true],
    [status.INTERNAL, 'client.bad_response', true],
    [status.DATA_LOSS, 'client.bad_response', true],
  ] as const)
    test(status[code], () => {
      const error = failed(code, 'why')
      expect(error.code).toBe(meaning)
      expect(error.message).toContain('why')
      expect(mayPass(error)).toBe(again)
    })
})

test('a denial carries its id', () => {
  const error = failed(status.PERMISSION_DENIED, "no identity (denial 0a1b2c; the agent's log says more)")
  expect(error.details).toEqual({ status: 'PERMISSION_DENIED', denialId: '0a1b2c' })
})

test('what is no denial id is not taken for one', () => {
  expect(failed(status.PERMISSION_DENIED, '(denial \u001b[31m; x)').details).not.toHaveProperty('denialId')
})

test('a socket that nobody listens on is unreachable, with the reason of the kernel', () => {
  const details =
    'No connection established. Last error: Error: connect ECONNREFUSED /a.sock (2026-01-01). Resolution note: '
  const error = failed(status.UNAVAILABLE, details)
  expect(error.code).toBe('client.unreachable')
  expect(error.details).toEqual({ errno: 'ECONNREFUSED' })
})

test('what speaks no HTTP/2 is no agent, and may be replaced by one', () => {
  const details = 'No connection established. Last error: Protocol error (2026-01-01). Resolution note: '
  const error = failed(status.UNAVAILABLE, details)
  expect(error.code).toBe('client.unreachable')
  expect(error.message).toContain('unix:///a.sock')
  expect(mayPass(error)).toBe(true)
})

test('an agent that closes a connection has not lost its caller', () => {
  const details = 'No connection established. Last error: Failed to connect (2026-01-01). Resolution note: '
  expect(failed(status.UNAVAILABLE, details).code).toBe('client.unavailable')
})

test('an agent that speaks of a connection is not unreachable', () => {
  expect(failed(status.UNAVAILABLE, 'the ICP server: connect ECONNREFUSED').code).toBe('client.unavailable')
})

test('what the agent says is cut to a sensible length', () => {
  expect(failed(status.INTERNAL, 'x'.repeat(100_000)).message.length).toBeLessThan(2000)
})

test('an error of ours stays what it is, and another one is a bad answer', () => {
  const ours = new AgentError('client.timeout', 'late')
  expect(callError(ours, endpoint)).toBe(ours)
  expect(callError(new Error('odd'), endpoint).code).toBe('client.bad_response')
  expect(mayPass(new TypeError('a defect'))).toBe(false)
})
