import { expect, test } from 'vitest'
import { Sparingly } from '../../../agent/observability/sparingly.js'
import { FakeClock } from '../../fakes/clock.js'

test('a subject is said three times a minute, then with how many were left out', async () => {
  const clock = new FakeClock()
  const sparingly = new Sparingly(clock)
  const says = (subject: string, times: number) => Array.from({ length: times }, () => sparingly.say(subject))
  expect(says('a', 5)).toEqual([0, 0, 0, null, null])
  expect(says('b', 1)).toEqual([0])
  await clock.advance('60s')
  expect(says('a', 4)).toEqual([2, 0, 0, null])
  await clock.advance('60s')
  expect(says('a', 1)).toEqual([1])
})

test('a flood of subjects causes a bounded number of lines, and the memory of it is bounded', async () => {
  const clock = new FakeClock()
  const sparingly = new Sparingly(clock)
  const said = (from: number) =>
    Array.from({ length: 10_000 }, (_, n) => sparingly.say(`user ${from + n}`)).filter((left) => left !== null)
  expect(said(0)).toHaveLength(256 + 3)
  expect(said(10_000)).toHaveLength(0)
  await clock.advance('60s')
  expect(sparingly.say('user 1')).toBe(0)
  expect(said(20_000).length).toBeLessThan(256 + 7)
})
