import { beforeEach, expect, test } from 'vitest'
import { CircuitBreaker } from '../../../agent/svids/circuit-breaker.js'
import { FakeClock } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'

let clock: FakeClock
let breaker: CircuitBreaker
beforeEach(() => {
  clock = new FakeClock()
  breaker = new CircuitBreaker(clock, fixedRandom(1), { retryBackoffMs: 1_000 })
})

test('one entry that fails again and again trips nothing: others may be fine', () => {
  for (let i = 0; i < 50; i++) breaker.failed('web', 'icp.server_error')
  expect(breaker.opensIn()).toBe(0)
})

test('failures of several entries in a row trip it, for longer each time, but for seconds only', () => {
  breaker.failed('web', 'icp.server_error')
  breaker.failed('db', 'svid.invalid')
  expect(breaker.opensIn()).toBe(0)
  const waits = Array.from({ length: 5 }, () => {
    breaker.failed('web', 'icp.timeout')
    return breaker.opensIn()
  })
  expect(waits).toEqual([1_000, 2_000, 4_000, 5_000, 5_000])
})

test('after two dozen tries it opens once a minute', () => {
  for (let i = 0; i < 40; i++) breaker.failed(`entry-${i}`, 'icp.unreachable')
  expect(breaker.opensIn()).toBe(60_000)
})

test('refusals of entries say nothing of the server', () => {
  for (let i = 0; i < 40; i++) breaker.failed(`entry-${i}`, 'icp.no_match')
  expect(breaker.opensIn()).toBe(0)
})

test('what fails while others are issued says nothing of the server', () => {
  for (let i = 0; i < 40; i++) breaker.failed(`entry-${i}`, 'icp.server_error', true)
  expect(breaker.opensIn()).toBe(0)
})

test('opens by itself, and for good with the first success, which is told once', async () => {
  for (const id of ['a', 'b', 'c']) breaker.failed(id, 'icp.server_error')
  await clock.advance(breaker.opensIn())
  expect(breaker.opensIn()).toBe(0)
  expect(breaker.passed()).toBe(true)
  expect(breaker.passed()).toBe(false)
  breaker.failed('a', 'icp.server_error')
  breaker.failed('b', 'icp.server_error')
  expect(breaker.opensIn()).toBe(0)
})

test('a refusal of the agent itself closes it at once, and the server that accepts it again opens it', () => {
  breaker.failed('web', 'icp.unauthorized')
  expect(breaker.opensIn()).toBe(1_000)
  breaker.failed('web', 'icp.agent_inactive')
  expect(breaker.opensIn()).toBe(1_000)
  breaker.passed()
  expect(breaker.opensIn()).toBe(0)
})
