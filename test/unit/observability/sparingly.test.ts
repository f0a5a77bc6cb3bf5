import { expect, test } from 'vitest'
import { Sparingly } from '../../../agent/observability/sparingly.js'
import { FakeClock } from '../../fakes/clock.js'

test('the first of a subject is said at once, the next after a minute with how many were left out', async () => {
  const clock = new FakeClock()
  const sparingly = new Sparingly(clock)
  expect(sparingly.say('a')).toBe(0)
  expect(sparingly.say('a')).toBeNull()
  expect(sparingly.say('a')).toBeNull()
  expect(sparingly.say('b')).toBe(0)
  await clock.advance('60s')
  expect(sparingly.say('a')).toBe(2)
  expect(sparingly.say('a')).toBeNull()
  await clock.advance('60s')
  expect(sparingly.say('a')).toBe(1)
})

test('a flood of subjects causes a bounded number of lines, and the memory of it is bounded', async () => {
  const clock = new FakeClock()
  const sparingly = new Sparingly(clock)
  const said = (from: number) =>
    Array.from({ length: 10_000 }, (_, n) => sparingly.say(`user ${from + n}`)).filter((left) => left !== null)
  expect(said(0)).toHaveLength(257)
  expect(said(10_000)).toHaveLength(0)
  await clock.advance('60s')
  expect(sparingly.say('user 1')).toBe(0)
  expect(said(20_000).length).toBeLessThan(260)
})
