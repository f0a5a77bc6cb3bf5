import { describe, expect, it } from 'vitest'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { SyncSchedule } from '../../../agent/svids/sync-schedule.js'
import { FakeClock } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'

const SECOND = 1000
const MINUTE = 60 * SECOND

function setting(fraction = 0.5, maxIntervalMs = 10 * MINUTE, intervalMs = 30 * SECOND) {
  const clock = new FakeClock()
  const limiter = new RateLimiter(clock, fixedRandom(0))
  return {
    clock,
    limiter,
    schedule: new SyncSchedule(clock, fixedRandom(fraction), { intervalMs, maxIntervalMs }, limiter),
  }
}

describe('SyncSchedule', () => {
  it('is due at once, then every interval, jittered by a tenth', () => {
    for (const [fraction, interval] of [
      [0, 27],
      [0.5, 30],
      [1, 33],
    ] as const) {
      const { schedule } = setting(fraction)
      expect(schedule.dueIn()).toBe(0)
      schedule.synced()
      expect(schedule.dueIn()).toBeCloseTo(interval * SECOND)
    }
  })

  it('says how late it is', async () => {
    const { clock, schedule } = setting()
    schedule.synced()
    await clock.advance('40s')
    expect(schedule.dueIn()).toBe(-10 * SECOND)
  })

  it('stretches with each 429, up to the longest interval', async () => {
    const { clock, schedule } = setting()
    schedule.synced()
    schedule.limited()
    expect(schedule.intervalMs).toBeCloseTo(30 * SECOND * 20 ** 0.25)
    expect(schedule.dueIn()).toBeCloseTo(schedule.intervalMs)
    for (let i = 0; i < 10; i++) {
      await clock.advance('1m')
      schedule.limited()
    }
    expect(schedule.intervalMs).toBeCloseTo(10 * MINUTE)
  })

  it('takes 429s of one minute for one', async () => {
    const { clock, schedule } = setting()
    schedule.limited()
    await clock.advance('59s')
    schedule.limited()
    expect(schedule.intervalMs).toBeLessThan(30 * SECOND * 20 ** 0.25)
    await clock.advance('1s')
    schedule.limited()
    expect(schedule.intervalMs).toBeGreaterThan(30 * SECOND * 20 ** 0.45)
  })

  it('shrinks again in quiet times, whether or not anything is synced', async () => {
    const { clock, schedule } = setting()
    for (let i = 0; i < 10; i++) {
      await clock.advance('1m')
      schedule.limited()
    }
    await clock.advance('1h')
    expect(schedule.intervalMs).toBeCloseTo(30 * SECOND * 20 ** (1 / Math.E))
    await clock.advance('12h')
    expect(schedule.intervalMs / SECOND).toBeCloseTo(30, 1)
  })

  it('is due within one stretched interval of the last sync, however many 429s come meanwhile', async () => {
    const { clock, schedule } = setting()
    schedule.synced()
    for (let minute = 1; minute <= 9; minute++) {
      await clock.advance('1m')
      schedule.limited()
    }
    expect(schedule.dueIn() / MINUTE).toBeCloseTo(1)
    await clock.advance('3m')
    schedule.limited()
    expect(schedule.dueIn() / MINUTE).toBeCloseTo(-2)
  })

  it('stays due after a 429 before the first sync: nothing is known yet', async () => {
    const { clock, schedule } = setting()
    schedule.limited()
    expect(schedule.dueIn()).toBe(0)
    await clock.advance('66s')
    schedule.limited()
    expect(schedule.dueIn()).toBe(-66 * SECOND)
  })

  it('is put off by the stretched interval when a sync itself was refused with 429, once entries are known', async () => {
    const { clock, schedule } = setting()
    schedule.limited()
    schedule.refused({ known: false })
    expect(schedule.dueIn()).toBe(0)
    schedule.refused({ known: true })
    expect(schedule.dueIn()).toBeCloseTo(schedule.intervalMs)
    schedule.synced()
    await clock.advance('10m')
    schedule.limited()
    schedule.refused({ known: true })
    expect(schedule.dueIn()).toBeCloseTo(schedule.intervalMs)
  })

  it('comes no sooner for a 429: what a failure put off stays put off', async () => {
    const { clock, schedule } = setting()
    schedule.synced()
    await clock.advance('10m')
    for (let i = 0; i < 3; i++) schedule.failed()
    schedule.limited()
    expect(schedule.dueIn()).toBe(20 * SECOND)
  })

  it('never stretches where the longest interval is the usual one', () => {
    const { schedule } = setting(0.5, 30 * SECOND)
    schedule.limited()
    expect(schedule.intervalMs).toBe(30 * SECOND)
  })

  it('comes back soon after a failure, then ever later up to the interval, and forgets that with a success', () => {
    const { schedule } = setting()
    const waits = () => {
      schedule.failed()
      return schedule.dueIn() / SECOND
    }
    expect([waits(), waits(), waits(), waits(), waits()]).toEqual([5, 10, 20, 30, 30])
    schedule.synced()
    expect(waits()).toBe(5)
  })

  it('reads a doubted answer once more in five seconds', () => {
    const { schedule } = setting()
    schedule.synced()
    schedule.again()
    expect(schedule.dueIn()).toBe(5 * SECOND)
  })

  it('is due at the next slot when something suggests a change, and never later for it', async () => {
    const { clock, schedule } = setting()
    schedule.synced()
    schedule.soon()
    expect(schedule.dueIn()).toBe(0)
    schedule.synced()
    await clock.advance('40s')
    schedule.soon()
    expect(schedule.dueIn()).toBe(-10 * SECOND)
  })

  it('takes a third of the pace at most, however short the interval, and however often a read fails', async () => {
    for (const end of ['synced', 'failed', 'again', 'soon'] as const) {
      const { clock, schedule } = setting(0, MINUTE, 100)
      let reads = 0
      for (let seconds = 0; seconds < 600; seconds++) {
        if (schedule.dueIn() <= 0) {
          reads++
          schedule.began({ known: true })
          schedule[end]()
        }
        await clock.advance('1s')
      }
      expect(reads).toBeGreaterThan(80)
      expect(reads).toBeLessThanOrEqual(90 + 1)
    }
  })

  it('takes a third of what 429s have left of the pace, and says the interval that follows', () => {
    const { limiter, schedule } = setting(0.5, MINUTE, 2 * SECOND)
    expect(schedule.intervalMs / SECOND).toBeCloseTo(20 / 3)
    limiter.limited('standard', 0)
    expect(schedule.intervalMs / SECOND).toBeCloseTo(20 / 3 / 0.7)
    expect(setting(0.5, 10 * MINUTE).schedule.intervalMs).toBe(30 * SECOND)
  })

  it('reads a doubted answer again as soon as without a share, after a pause', async () => {
    const { clock, schedule } = setting()
    schedule.began({ known: true })
    schedule.synced()
    await clock.advance('30s')
    schedule.began({ known: true })
    schedule.again()
    expect(schedule.dueIn()).toBe(5 * SECOND)
  })

  it('has no share while no entries are known: nothing else needs the pace', () => {
    const { schedule } = setting()
    for (let i = 0; i < 5; i++) schedule.began({ known: false })
    expect(schedule.dueIn()).toBe(0)
  })
})
