import { beforeEach, expect, test } from 'vitest'
import { Gate } from '../../../agent/svids/circuit-breaker.js'
import { FakeClock } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'

let clock: FakeClock
let gate: Gate
beforeEach(() => {
  clock = new FakeClock()
  gate = new Gate(clock, fixedRandom(1), 1_000)
})

test('one entry that fails again and again closes nothing: others may be fine', () => {
  for (let i = 0; i < 50; i++) gate.failed('web', 'icp.server_error')
  expect(gate.opensIn()).toBe(0)
})

test('failures of several entries in a row close it, for longer each time, but for seconds only', () => {
  gate.failed('web', 'icp.server_error')
  gate.failed('db', 'svid.invalid')
  expect(gate.opensIn()).toBe(0)
  const waits = Array.from({ length: 5 }, () => {
    gate.failed('web', 'icp.timeout')
    return gate.opensIn()
  })
  expect(waits).toEqual([1_000, 2_000, 4_000, 5_000, 5_000])
})

test('after two dozen tries it opens once a minute', () => {
  for (let i = 0; i < 40; i++) gate.failed(`entry-${i}`, 'icp.unreachable')
  expect(gate.opensIn()).toBe(60_000)
})

test('refusals of entries say nothing of the server', () => {
  for (let i = 0; i < 40; i++) gate.failed(`entry-${i}`, 'icp.no_match')
  expect(gate.opensIn()).toBe(0)
})

test('what fails while others are issued says nothing of the server', () => {
  for (let i = 0; i < 40; i++) gate.failed(`entry-${i}`, 'icp.server_error', true)
  expect(gate.opensIn()).toBe(0)
})

test('opens by itself, and for good with the first success, which is told once', async () => {
  for (const id of ['a', 'b', 'c']) gate.failed(id, 'icp.server_error')
  await clock.advance(gate.opensIn())
  expect(gate.opensIn()).toBe(0)
  expect(gate.passed()).toBe(true)
  expect(gate.passed()).toBe(false)
  gate.failed('a', 'icp.server_error')
  gate.failed('b', 'icp.server_error')
  expect(gate.opensIn()).toBe(0)
})

test('a refusal of the agent itself closes it at once, and the server that accepts it again opens it', () => {
  gate.failed('web', 'icp.unauthorized')
  expect(gate.opensIn()).toBe(1_000)
  gate.failed('web', 'icp.agent_inactive')
  expect(gate.opensIn()).toBe(1_000)
  gate.passed()
  expect(gate.opensIn()).toBe(0)
})
