import { expect, test } from 'vitest'
import { AgentError, isError } from '../../agent/errors.js'

test('an error of a code is known by it, with the details that code decides by', () => {
  const error: unknown = new AgentError('icp.rate_limited', 'slow down', {
    details: { tier: 'standard', retryAfterMs: 60_000, endpoint: 'entries' },
  })
  if (!isError(error, 'icp.rate_limited')) throw new TypeError('it is one')
  const ms: number = error.details.retryAfterMs
  expect([ms, error.details.tier, error.details['endpoint']]).toEqual([60_000, 'standard', 'entries'])
  expect(isError(error, 'icp.timeout')).toBe(false)
  expect(isError(new Error('slow down'), 'icp.rate_limited')).toBe(false)
})

test('an error is an instance of its class alone, and an Error', () => {
  const error = new AgentError('icp.timeout', 'late')
  expect(error instanceof AgentError && error instanceof Error).toBe(true)
  for (const other of [new Error('late'), { code: 'icp.timeout', message: 'late', details: {} }, null, undefined]) {
    expect(other instanceof AgentError).toBe(false)
  }
})
