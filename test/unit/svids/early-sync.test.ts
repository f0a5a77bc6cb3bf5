import { describe, expect, it } from 'vitest'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { EarlySync } from '../../../agent/svids/early-sync.js'
import { SyncSchedule } from '../../../agent/svids/sync-schedule.js'
import { FakeClock } from '../../fakes/clock.js'
import { fixedRandom, seededRandom } from '../../fakes/random.js'
import { SyncWorld } from './sync-world.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND

/** A schedule whose reads are done at once when they are due, and the moments at which they were. */
function setting({ intervalMs = 30 * SECOND } = {}) {
  const clock = new FakeClock()
  const limiter = new RateLimiter(clock, fixedRandom(0))
  const settings = { intervalMs, maxIntervalMs: Math.max(intervalMs, 10 * MINUTE) }
  const schedule = new SyncSchedule(clock, fixedRandom(0.5), settings, limiter)
  const reads: number[] = []
  const read = (added = false) => {
    schedule.began({ known: true })
    schedule.synced({ added })
    reads.push(clock.monotonic())
  }
  /** Looks four times a second; `asking`: those who ask in that moment. */
  const pass = async (ms: number, asking: (second: number) => readonly string[] = () => []) => {
    for (let at = 0; at < ms; at += 250) {
      if (at % SECOND === 0) for (const subject of asking(at / SECOND)) schedule.unmatched(subject)
      if (schedule.dueIn() <= 0) read()
      await clock.advance(250)
    }
  }
  return { clock, limiter, schedule, reads, read, pass }
}

const perMinute = (reads: readonly number[], from: number) =>
  reads.filter((at) => at >= from && at < from + MINUTE).length

describe('a caller that matches nothing', () => {
  it('brings the next read forward at once, where the last one is not new', async () => {
    const { schedule, read, clock } = setting()
    read()
    await clock.advance('10s')
    expect(schedule.dueIn()).toBeCloseTo(20 * SECOND)
    schedule.unmatched('uid:1000')
    expect(schedule.dueIn()).toBe(0)
  })

  it('tells who waits for the schedule, once until the next read', async () => {
    const { schedule, read, clock } = setting()
    let sooner = 0
    schedule.onSooner(() => sooner++)
    read()
    for (let i = 0; i < 5; i++) schedule.unmatched('uid:1000')
    schedule.unmatched('uid:1001')
    expect(sooner).toBe(1)
    await clock.advance('8s')
    read()
    schedule.unmatched('uid:1000')
    expect(sooner).toBe(2)
  })

  it('waits some seconds where the last read has just begun', () => {
    const { schedule, read } = setting()
    read()
    schedule.unmatched('uid:1000')
    expect(schedule.dueIn()).toBe(7 * SECOND)
  })

  it('puts no regular read off', async () => {
    const { reads, pass } = setting()
    await pass(3 * MINUTE, (second) => (second < 40 ? ['uid:1000'] : []))
    expect(reads.filter((at) => at > 45 * SECOND)).toEqual([58, 88, 118, 148, 178].map((second) => second * SECOND))
  })

  it('is never what makes a read late and so goes ahead of callers that wait', async () => {
    const { schedule, read, clock } = setting({ intervalMs: 10 * MINUTE })
    read()
    await clock.advance('10s')
    schedule.unmatched('uid:1000')
    await clock.advance('5m')
    expect(schedule.dueIn()).toBe(0)
  })

  it('brings nothing forward for half an hour after a 429', async () => {
    const { schedule, limiter, read, clock } = setting({ intervalMs: 10 * MINUTE })
    read()
    limiter.limited('standard', 1_000)
    await clock.advance('20m')
    read()
    await clock.advance('20s')
    schedule.unmatched('uid:1000')
    expect(schedule.dueIn()).toBeGreaterThan(5 * MINUTE)
    await clock.advance('9m')
    schedule.unmatched('uid:1000')
    expect(schedule.dueIn()).toBeLessThanOrEqual(0)
  })
})

describe('early reads', () => {
  it.each([30 * SECOND, 10 * MINUTE])(
    'of a node are six a minute at most, however many subjects ask (%d)',
    async (intervalMs) => {
      const { reads, pass } = setting({ intervalMs })
      await pass(10 * MINUTE, (second) => Array.from({ length: 20 }, (_, i) => `uid:${second}.${i}`))
      // A minute may hold one regular read more than its length has room for.
      const regular = Math.floor(MINUTE / intervalMs) + 1
      for (let from = 0; from < 9 * MINUTE; from += 5 * SECOND) {
        expect(perMinute(reads, from)).toBeLessThanOrEqual(6 + regular)
      }
      expect(reads.length).toBeGreaterThanOrEqual(60)
    },
  )

  it('for one subject that asks for ever are one a minute in the long run', async () => {
    const { reads, pass } = setting()
    await pass(30 * MINUTE, () => ['container:crash-loop'])
    const later = reads.filter((at) => at >= 10 * MINUTE).length
    expect(later).toBeLessThanOrEqual(20 * 3)
    expect(later).toBeGreaterThan(20 * 2)
  })

  it('of a subject are as many as before, once a read has brought new entries', async () => {
    const { schedule, reads, read, pass, clock } = setting()
    await pass(10 * MINUTE, () => ['uid:1000'])
    schedule.unmatched('uid:1000')
    await clock.advance('61s')
    read(true)
    const from = clock.monotonic()
    await pass(MINUTE, () => ['uid:1000'])
    expect(perMinute(reads, from)).toBeGreaterThanOrEqual(7)
  })

  it('leave two thirds of the pace to SVIDs where the pace is low', async () => {
    const { reads, pass, limiter, clock } = setting()
    for (let i = 0; i < 4; i++) {
      limiter.limited('standard', 0)
      await clock.advance('1ms')
    }
    // Long after, the pace is still low: nothing has passed that would raise it.
    await clock.advance('2h')
    const from = clock.monotonic()
    await pass(10 * MINUTE, () => ['uid:1000'])
    expect(reads.filter((at) => at >= from).length).toBeLessThanOrEqual((10 * 27 * 0.7 ** 4) / 3 + 2)
  })
})

describe('what is remembered of those who ask', () => {
  /** All of them ask, and an early read answers them, until none may bring one forward any more. */
  const exhaust = (early: EarlySync, subjects: readonly string[]) => {
    for (let round = 0; round < 12; round++) {
      for (const subject of subjects) early.asked(subject, 0)
      early.began(0, true)
    }
  }
  const others = (count: number) => Array.from({ length: count }, (_, i) => `uid:${i}`)

  it('is forgotten of the subject that has not asked for the longest time, once there are more than 1,024', () => {
    const mayAskAfter = (count: number) => {
      const early = new EarlySync()
      exhaust(early, ['uid:first'])
      for (const subject of others(count)) early.asked(subject, 0)
      early.began(0, false)
      return early.asked('uid:first', 0)
    }
    expect(mayAskAfter(1_023)).toBe(false)
    expect(mayAskAfter(1_024)).toBe(true)
  })

  it('is nothing of the 1,025th that asks between two reads, until the next one', () => {
    const oneMoreAsks = (count: number) => {
      const early = new EarlySync()
      exhaust(early, others(count))
      for (const subject of others(count)) early.asked(subject, 0)
      const sooner = early.asked('uid:one-more', 0)
      early.began(0, false)
      return [sooner, early.asked('uid:one-more', 0)]
    }
    expect(oneMoreAsks(1_023)).toEqual([true, true])
    expect(oneMoreAsks(1_024)).toEqual([false, true])
  })
})

describe('from its registration until it has its SVID', () => {
  it('a program that asks each second waits 5 s or less in the median', { timeout: 60_000 }, async () => {
    const random = seededRandom(7)
    const world = await SyncWorld.create({ seed: 3 })
    void world.run().catch(() => undefined)
    await world.pass(45_000)
    const waits: number[] = []
    for (let n = 0; n < 41; n++) {
      const registerAt = 2_000 + Math.floor(random.fraction() * 28_000)
      const id = `entry-${n}`
      let registeredAt: number | null = null
      const served = () => world.state(id)?.kind === 'issued'
      // The client: each second a call, which is denied until the entry is known, and then held until the SVID is there.
      let use: ReturnType<typeof world.demand.use> | null = null
      for (let ms = 0; !served(); ms += 250) {
        if (registeredAt === null && ms >= registerAt) {
          world.server.addEntry({ id, path: `/${id}`, selectors: { 'unix:path': `/bin/${id}` } })
          registeredAt = world.clock.monotonic()
        }
        if (ms % SECOND === 0 && use === null) {
          if (world.store.current.entries.has(id)) {
            use = world.demand.use(1000)
            use.entries([id])
          } else world.schedule.unmatched('uid:1000')
        }
        await world.pass(250, 250)
      }
      waits.push(world.clock.monotonic() - (registeredAt ?? 0))
      use?.[Symbol.dispose]()
    }
    world.stop.abort()
    waits.sort((a, b) => a - b)
    expect(waits[20]).toBeLessThanOrEqual(5_000)
    expect(waits.at(-1)).toBeLessThanOrEqual(20_000)
  })
})
