import { expect, test } from 'vitest'
import { AgentError, type DetailsOf, type ErrorCode, isError, isServerError } from '../../agent/errors.js'

test('an error of a code is known by it, with the details that code decides by', () => {
  const error: unknown = new AgentError('icp.rate_limited', 'slow down', {
    details: { tier: 'standard', retryAfterMs: 60_000, endpoint: 'entries' },
  })
  if (!isError(error, 'icp.rate_limited')) throw new TypeError('it is one')
  const ms: number = error.details.retryAfterMs
  expect([ms, error.details.tier, error.details.endpoint]).toEqual([60_000, 'standard', 'entries'])
  expect(isError(error, 'icp.timeout')).toBe(false)
  expect(isError(new Error('slow down'), 'icp.rate_limited')).toBe(false)
})

/** `true` where the code has such a detail, and where it must have it. */
type Has<C extends ErrorCode, Name extends string> = Name extends keyof DetailsOf<C> ? true : false
type Needs<C extends ErrorCode> = Readonly<Record<never, never>> extends DetailsOf<C> ? false : true
/** Nothing that has a detail is assignable. */
type HasNone<C extends ErrorCode> = { readonly pid: number } extends DetailsOf<C> ? false : true

test('the details of a code are those of its row, and none where it has no row: the compiler compares', () => {
  const has: [Has<'client.denied', 'denialId'>, Has<'client.denied', 'denialID'>] = [true, false]
  const needs: [Needs<'entry.shadowed'>, Needs<'icp.rate_limited'>, Needs<'icp.timeout'>] = [true, true, false]
  const none: [HasNone<'caller.exited'>, HasNone<'internal'>] = [true, true]
  expect([...has, ...needs, ...none]).toHaveLength(7)
})

test('errors of requests to the ICP server are known by the first part of their code', () => {
  expect(isServerError(new AgentError('icp.no_bundle', 'x'))).toBe(true)
  for (const other of [new AgentError('internal', 'x'), new Error('icp.no_bundle'), null]) {
    expect(isServerError(other)).toBe(false)
  }
})

test('an error is an instance of its class alone, and an Error', () => {
  const error = new AgentError('icp.timeout', 'late')
  expect(error instanceof AgentError && error instanceof Error).toBe(true)
  for (const other of [new Error('late'), { code: 'icp.timeout', message: 'late', details: {} }, null, undefined]) {
    expect(other instanceof AgentError).toBe(false)
  }
})
