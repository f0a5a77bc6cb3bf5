import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Alarm } from '../../../agent/lib/alarm.js'
import { FakeClock, settle } from '../../fakes/clock.js'

function setting() {
  const clock = new FakeClock()
  const stop = new AbortController()
  const alarm = new Alarm(clock)
  const ends: number[] = []
  const sleep = (ms: number) => alarm.sleep(ms, stop.signal).then(() => void ends.push(clock.monotonic()))
  return { clock, stop, alarm, ends, sleep }
}

describe('Alarm', () => {
  it('sleeps to the end when nobody rings', async () => {
    const { clock, ends, sleep } = setting()
    const slept = sleep(1000)
    await clock.advance(999)
    expect(ends).toEqual([])
    await clock.advance(1)
    await slept
    expect(ends).toEqual([1000])
  })

  it('ends early when it rings', async () => {
    const { clock, alarm, ends, sleep } = setting()
    const slept = sleep(1000)
    await clock.advance(300)
    alarm.ring()
    await slept
    expect(ends).toEqual([300])
    expect(clock.pending).toBe(0)
  })

  it('does not sleep at all after it rang, once however often', async () => {
    const { clock, alarm, ends, sleep } = setting()
    alarm.ring()
    alarm.ring()
    await sleep(1000)
    expect(ends).toEqual([0])
    const second = sleep(1000)
    await clock.advance(1000)
    await second
    expect(ends).toEqual([0, 1000])
  })

  it('returns early when the wall clock jumps: the caller reads the time anew', async () => {
    const { clock, ends, sleep } = setting()
    const slept = sleep(1000)
    await clock.jump('1h')
    await slept
    expect(ends).toEqual([0])
  })

  it('rejects with the reason of the signal, before the sleep, in it and after a ring', async () => {
    for (const when of ['before', 'in', 'after a ring']) {
      const { alarm, stop, sleep, clock } = setting()
      const reason = new Error(when)
      if (when === 'before') stop.abort(reason)
      if (when === 'after a ring') alarm.ring()
      const slept = sleep(1000)
      if (when === 'in') stop.abort(reason)
      if (when === 'after a ring') {
        await slept
        stop.abort(reason)
        await expect(sleep(1000)).rejects.toBe(reason)
      } else await expect(slept).rejects.toBe(reason)
      expect(clock.pending).toBe(0)
    }
  })

  it('passes on a failure of the clock itself', async () => {
    const broken = new Alarm({ sleep: () => Promise.reject(new TypeError('a defect')) })
    await expect(broken.sleep(1, new AbortController().signal)).rejects.toThrow('a defect')
  })

  it('leaves neither timer nor listener behind', async () => {
    const { clock, stop, alarm, sleep } = setting()
    for (let i = 0; i < 20; i++) {
      const slept = sleep(1000)
      if (i % 2 === 0) alarm.ring()
      else await clock.advance(1000)
      await slept
    }
    await settle()
    expect(clock.pending).toBe(0)
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0)
  })
})
