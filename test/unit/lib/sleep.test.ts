import { expect, test } from 'vitest'
import { atMost, sleepOut, sleepUnlessAborted } from '../../../agent/lib/sleep.js'
import { FakeClock, settle } from '../../fakes/clock.js'

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

test('a wait lasts to its end where the wall clock wakes sleepers early, and an abort ends it', async () => {
  const slept: number[] = []
  let now = 0
  const early = {
    sleep: (ms: number) => {
      slept.push(ms)
      now += ms / 2 < 1 ? ms : ms / 2
      return Promise.resolve()
    },
  }
  await sleepOut(early, () => 4 - now, new AbortController().signal)
  expect(slept).toEqual([4, 2, 1])

  const clock = new FakeClock()
  const stop = new AbortController()
  const waits = sleepOut(clock, () => 1_000 - clock.monotonic(), stop.signal)
  stop.abort(new Error('stop'))
  await expect(waits).rejects.toThrow('stop')
  expect(clock.pending).toBe(0)
})

test('work is waited for at most so long, no sleep is left behind, and its failure is passed on', async () => {
  const clock = new FakeClock()
  await atMost(clock, 1_000, Promise.resolve())
  await expect(atMost(clock, 1_000, Promise.reject(new Error('failed')))).rejects.toThrow('failed')
  await settle()
  expect(clock.pending).toBe(0)
  const waits = atMost(clock, 1_000, new Promise(() => undefined))
  await clock.advance(1_000)
  await waits
  expect(clock.monotonic()).toBe(1_000)
})
