import { describe, expect, it } from 'vitest'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { SyncPace } from '../../../agent/svids/sync-schedule.js'
import { FakeClock } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'

const SECOND = 1000
const MINUTE = 60 * SECOND

function setting(fraction = 0.5, maxIntervalMs = 10 * MINUTE, intervalMs = 30 * SECOND) {
  const clock = new FakeClock()
  const limiter = new RateLimiter(clock, fixedRandom(0))
  return { clock, limiter, pace: new SyncPace(clock, fixedRandom(fraction), { intervalMs, maxIntervalMs }, limiter) }
}

describe('SyncPace', () => {
  it('is due at once, then every interval, jittered by a tenth', () => {
    for (const [fraction, interval] of [
      [0, 27],
      [0.5, 30],
      [1, 33],
    ] as const) {
      const { pace } = setting(fraction)
      expect(pace.dueIn()).toBe(0)
      pace.synced()
      expect(pace.dueIn()).toBeCloseTo(interval * SECOND)
    }
  })

  it('says how late it is', async () => {
    const { clock, pace } = setting()
    pace.synced()
    await clock.advance('40s')
    expect(pace.dueIn()).toBe(-10 * SECOND)
  })

  it('stretches with each 429, up to the longest interval', async () => {
    const { clock, pace } = setting()
    pace.synced()
    pace.limited()
    expect(pace.intervalMs).toBeCloseTo(30 * SECOND * 20 ** 0.25)
    expect(pace.dueIn()).toBeCloseTo(pace.intervalMs)
    for (let i = 0; i < 10; i++) {
      await clock.advance('1m')
      pace.limited()
    }
    expect(pace.intervalMs).toBeCloseTo(10 * MINUTE)
  })

  it('takes 429s of one minute for one', async () => {
    const { clock, pace } = setting()
    pace.limited()
    await clock.advance('59s')
    pace.limited()
    expect(pace.intervalMs).toBeLessThan(30 * SECOND * 20 ** 0.25)
    await clock.advance('1s')
    pace.limited()
    expect(pace.intervalMs).toBeGreaterThan(30 * SECOND * 20 ** 0.45)
  })

  it('shrinks again in quiet times, whether or not anything is synced', async () => {
    const { clock, pace } = setting()
    for (let i = 0; i < 10; i++) {
      await clock.advance('1m')
      pace.limited()
    }
    await clock.advance('1h')
    expect(pace.intervalMs).toBeCloseTo(30 * SECOND * 20 ** (1 / Math.E))
    await clock.advance('12h')
    expect(pace.intervalMs / SECOND).toBeCloseTo(30, 1)
  })

  it('is due within one stretched interval of the last sync, however many 429s come meanwhile', async () => {
    const { clock, pace } = setting()
    pace.synced()
    for (let minute = 1; minute <= 9; minute++) {
      await clock.advance('1m')
      pace.limited()
    }
    expect(pace.dueIn() / MINUTE).toBeCloseTo(1)
    await clock.advance('3m')
    pace.limited()
    expect(pace.dueIn() / MINUTE).toBeCloseTo(-2)
  })

  it('stays due after a 429 before the first sync: nothing is known yet', async () => {
    const { clock, pace } = setting()
    pace.limited()
    expect(pace.dueIn()).toBe(0)
    await clock.advance('66s')
    pace.limited()
    expect(pace.dueIn()).toBe(-66 * SECOND)
  })

  it('is put off by the stretched interval when a sync itself was refused with 429, once entries are known', async () => {
    const { clock, pace } = setting()
    pace.limited()
    pace.refused({ known: false })
    expect(pace.dueIn()).toBe(0)
    pace.refused({ known: true })
    expect(pace.dueIn()).toBeCloseTo(pace.intervalMs)
    pace.synced()
    await clock.advance('10m')
    pace.limited()
    pace.refused({ known: true })
    expect(pace.dueIn()).toBeCloseTo(pace.intervalMs)
  })

  it('comes no sooner for a 429: what a failure put off stays put off', async () => {
    const { clock, pace } = setting()
    pace.synced()
    await clock.advance('10m')
    for (let i = 0; i < 3; i++) pace.failed()
    pace.limited()
    expect(pace.dueIn()).toBe(20 * SECOND)
  })

  it('never stretches where the longest interval is the usual one', () => {
    const { pace } = setting(0.5, 30 * SECOND)
    pace.limited()
    expect(pace.intervalMs).toBe(30 * SECOND)
  })

  it('comes back soon after a failure, then ever later up to the interval, and forgets that with a success', () => {
    const { pace } = setting()
    const waits = () => {
      pace.failed()
      return pace.dueIn() / SECOND
    }
    expect([waits(), waits(), waits(), waits(), waits()]).toEqual([5, 10, 20, 30, 30])
    pace.synced()
    expect(waits()).toBe(5)
  })

  it('reads a doubted answer once more in five seconds', () => {
    const { pace } = setting()
    pace.synced()
    pace.again()
    expect(pace.dueIn()).toBe(5 * SECOND)
  })

  it('is due at the next slot when something suggests a change, and never later for it', async () => {
    const { clock, pace } = setting()
    pace.synced()
    pace.soon()
    expect(pace.dueIn()).toBe(0)
    pace.synced()
    await clock.advance('40s')
    pace.soon()
    expect(pace.dueIn()).toBe(-10 * SECOND)
  })

  it('takes a third of the pace at most, however short the interval, and however often a read fails', async () => {
    for (const end of ['synced', 'failed', 'again', 'soon'] as const) {
      const { clock, pace } = setting(0, MINUTE, 100)
      let reads = 0
      for (let seconds = 0; seconds < 600; seconds++) {
        if (pace.dueIn() <= 0) {
          reads++
          pace.began({ known: true })
          pace[end]()
        }
        await clock.advance('1s')
      }
      expect(reads).toBeGreaterThan(80)
      expect(reads).toBeLessThanOrEqual(90 + 1)
    }
  })

  it('takes a third of what 429s have left of the pace, and says the interval that follows', () => {
    const { limiter, pace } = setting(0.5, MINUTE, 2 * SECOND)
    expect(pace.intervalMs / SECOND).toBeCloseTo(20 / 3)
    limiter.limited('standard', 0)
    expect(pace.intervalMs / SECOND).toBeCloseTo(20 / 3 / 0.7)
    expect(setting(0.5, 10 * MINUTE).pace.intervalMs).toBe(30 * SECOND)
  })

  it('reads a doubted answer again as soon as without a share, after a pause', async () => {
    const { clock, pace } = setting()
    pace.began({ known: true })
    pace.synced()
    await clock.advance('30s')
    pace.began({ known: true })
    pace.again()
    expect(pace.dueIn()).toBe(5 * SECOND)
  })

  it('has no share while no entries are known: nothing else needs the pace', () => {
    const { pace } = setting()
    for (let i = 0; i < 5; i++) pace.began({ known: false })
    expect(pace.dueIn()).toBe(0)
  })
})
