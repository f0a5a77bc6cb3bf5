import { expect, test } from 'vitest'
import { sleepUnlessAborted } from '../../../agent/lib/sleep.js'
import { FakeClock } from '../../fakes/clock.js'

test('a sleep ends when its time is over', async () => {
  const clock = new FakeClock()
  const slept = sleepUnlessAborted(clock, 1_000, new AbortController().signal)
  await clock.advance(1_000)
  await slept
  expect(clock.monotonic()).toBe(1_000)
})

test('a sleep ends without an error when its signal aborts, before it or in it', async () => {
  const clock = new FakeClock()
  const stop = new AbortController()
  const slept = sleepUnlessAborted(clock, 1_000, stop.signal)
  stop.abort(new Error('stop'))
  await slept
  await sleepUnlessAborted(clock, 1_000, stop.signal)
  expect(clock.pending).toBe(0)
})

test('a failure of the clock itself is passed on', async () => {
  const clock = { sleep: () => Promise.reject(new TypeError('a defect')) }
  await expect(sleepUnlessAborted(clock, 1, new AbortController().signal)).rejects.toThrow('a defect')
})
