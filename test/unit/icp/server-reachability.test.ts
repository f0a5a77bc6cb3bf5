import { expect, test } from 'vitest'
import { AgentError, type ErrorCode } from '../../../agent/errors.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import { FakeClock } from '../../fakes/clock.js'

const failure = (code: ErrorCode) => new AgentError(code, 'no')

test('a server that did not answer and does again is told once; a refusal is an answer', () => {
  const reachability = new ServerReachability(new FakeClock())
  let returns = 0
  using _watch = reachability.onReturn(() => returns++)
  reachability.answered()
  reachability.failed(failure('icp.unreachable'))
  reachability.failed(failure('icp.timeout'))
  expect(returns).toBe(0)
  reachability.failed(failure('icp.forbidden'))
  reachability.answered()
  expect(returns).toBe(1)
})

test('a bad answer is an answer: what comes after it is no return', () => {
  const reachability = new ServerReachability(new FakeClock())
  let returns = 0
  using _watch = reachability.onReturn(() => returns++)
  reachability.failed(failure('icp.server_error'))
  reachability.answered()
  expect(returns).toBe(0)
})

test.each<ErrorCode>(['icp.server_error', 'icp.bad_response', 'icp.too_large'])(
  '%s is trouble, since no answer can be used',
  (code) => {
    const reachability = new ServerReachability(new FakeClock())
    reachability.failed(failure(code))
    expect(reachability.trouble?.code).toBe(code)
    expect(reachability.reachedAt).toBeNull()
  },
)

test.each<ErrorCode>(['icp.no_bundle', 'icp.svid_unknown'])('%s is no trouble: the server is there', (code) => {
  const reachability = new ServerReachability(new FakeClock())
  reachability.failed(failure('icp.unreachable'))
  reachability.failed(failure(code))
  expect(reachability.trouble).toBeNull()
  expect(reachability.reachedAt).not.toBeNull()
})

test('trouble keeps the time of its begin', async () => {
  const clock = new FakeClock()
  const reachability = new ServerReachability(clock)
  const began = clock.now()
  reachability.failed(failure('icp.unreachable'))
  await clock.advance('1m')
  reachability.failed(failure('icp.tls'))
  expect(reachability.trouble).toMatchObject({ code: 'icp.tls', since: began })
  reachability.answered()
  expect(reachability.trouble).toBeNull()
  expect(reachability.reachedAt).toBe(clock.now())
})
