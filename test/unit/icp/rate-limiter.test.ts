import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Tier } from '../../../agent/errors.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'
import { ServerLimits } from '../../simulation/server-limits.js'

const MINUTE = 60_000

function setting(fraction = 0) {
  const clock = new FakeClock()
  const limiter = new RateLimiter(clock, fixedRandom(fraction))
  /** Takes every slot that opens within so many milliseconds. */
  const drain = async (tier: Tier, ms: number): Promise<number> => {
    let taken = 0
    const end = clock.monotonic() + ms
    for (;;) {
      const opensIn = limiter.opensIn(tier)
      if (clock.monotonic() + opensIn > end) return taken
      await clock.advance(opensIn)
      limiter.charge(tier)
      taken++
    }
  }
  /** Requests per minute, from how much later a slot opens with each that is owed. */
  const pace = async (tier: Tier): Promise<number> => {
    await clock.advance(limiter.opensIn(tier) + 5 * MINUTE)
    while (limiter.opensIn(tier) === 0) limiter.charge(tier)
    const before = limiter.opensIn(tier)
    for (let i = 0; i < 20; i++) limiter.charge(tier)
    return (20 * MINUTE) / (limiter.opensIn(tier) - before)
  }
  return { clock, limiter, drain, pace }
}

describe('the pace of a lone agent', () => {
  it.each<[Tier, number, number]>([
    ['bootstrap', 16, 54],
    ['standard', 8, 27],
    ['sensitive', 4, 9],
    ['service', 16, 72],
  ])('of %s is a burst of %d and %d a minute, below what the server allows', async (tier, burst, perMinute) => {
    const { clock, drain, pace } = setting()
    expect(await drain(tier, 0)).toBe(burst)
    const taken = await drain(tier, MINUTE)
    expect(taken).toBeLessThanOrEqual(perMinute)
    expect(taken).toBeGreaterThanOrEqual(perMinute - 1)
    await clock.advance('1h')
    expect(await drain(tier, 0)).toBe(burst)
    expect(await pace(tier)).toBeCloseTo(perMinute)
  })

  it('never meets a 429, however it mixes tiers and idles', () => {
    const step = fc.record({ standard: fc.nat(99), idle: fc.nat(90_000) })
    const world = fc.record({
      steps: fc.array(step, { minLength: 200, maxLength: 400 }),
      standardPercent: fc.constantFrom(0, 30, 100),
    })
    fc.assert(
      fc.property(world, ({ steps, standardPercent }) => {
        let t = 0
        const limits = new ServerLimits()
        const limiter = new RateLimiter(
          { monotonic: () => t, sleep: () => Promise.reject(new Error('nobody waits')) },
          fixedRandom(),
        )
        for (const { standard, idle } of steps) {
          const tier = standard < standardPercent ? 'standard' : 'service'
          t += idle % 50 === 0 ? idle : 0
          t += limiter.opensIn(tier)
          limiter.charge(tier)
          expect(limits.refuses(tier, t)).toBeNull()
          limiter.passed(tier)
        }
      }),
      { numRuns: 50 },
    )
  })

  it('counts every request against the limit around everything as well', async () => {
    const { clock, limiter } = setting()
    for (let i = 0; i < 16; i++) limiter.charge('service')
    expect(limiter.opensIn('standard')).toBeGreaterThan(0)
    await clock.advance('1m')
    expect(limiter.opensIn('standard')).toBe(0)
  })

  it('owes a slot that is taken while none is open', async () => {
    const { limiter, drain } = setting()
    await drain('standard', 0)
    const before = limiter.opensIn('standard')
    limiter.charge('standard')
    expect(limiter.opensIn('standard')).toBeCloseTo(before + MINUTE / 27, -1)
  })
})

describe('a 429', () => {
  it('stops the tier for as long as the server says, and a little longer by chance', async () => {
    for (const [fraction, wait] of [
      [0, 60_000],
      [0.999, 74_985],
    ] as const) {
      const { limiter, clock } = setting(fraction)
      limiter.limited('standard', 60_000)
      expect(limiter.opensIn('standard')).toBe(wait)
      await clock.advance(wait - 1)
      expect(limiter.opensIn('standard')).toBe(1)
      await clock.advance(1)
      expect(limiter.opensIn('standard')).toBe(0)
    }
  })

  it('without Retry-After counts as a minute, and one of hours as five minutes', () => {
    const { limiter } = setting()
    limiter.limited('standard', MINUTE)
    expect(limiter.opensIn('standard')).toBe(MINUTE)
    limiter.limited('standard', 24 * 60 * MINUTE)
    expect(limiter.opensIn('standard')).toBe(5 * MINUTE)
  })

  it('leaves the other tiers alone', () => {
    const { limiter } = setting()
    limiter.limited('standard', MINUTE)
    expect([limiter.opensIn('bootstrap'), limiter.opensIn('service')]).toEqual([0, 0])
  })

  it('of the limit around everything stops and presses every tier, and lowers the pace of all together', async () => {
    const { limiter, pace } = setting()
    limiter.limited('service', 20_000)
    for (const tier of ['bootstrap', 'standard', 'sensitive', 'service'] as const) {
      expect(limiter.opensIn(tier)).toBe(20_000)
      expect(limiter.pressure(tier)).toBe(0.25)
    }
    expect(await pace('service')).toBeCloseTo(72 * 0.7)
    expect(await pace('standard')).toBeCloseTo(27)
  })

  it('gives no burst after the pause', async () => {
    const { limiter, clock, drain } = setting()
    limiter.limited('standard', MINUTE)
    await clock.advance(limiter.opensIn('standard'))
    expect(await drain('standard', 0)).toBe(1)
  })

  it('lowers the pace once for requests that failed side by side, and never below one in two minutes', async () => {
    const { limiter, clock, pace } = setting()
    for (let i = 0; i < 3; i++) limiter.limited('standard', MINUTE)
    expect(await pace('standard')).toBeCloseTo(27 * 0.7)
    for (let i = 0; i < 50; i++) {
      await clock.advance(limiter.opensIn('standard'))
      limiter.limited('standard', MINUTE)
    }
    expect(await pace('standard')).toBeCloseTo(0.5)
  })

  it('is made good by requests that pass, up to the full pace', async () => {
    const { limiter, pace } = setting()
    limiter.limited('standard', MINUTE)
    limiter.passed('standard')
    expect(await pace('standard')).toBeCloseTo(27 * 0.72)
    for (let i = 0; i < 100; i++) limiter.passed('standard')
    expect(await pace('standard')).toBeCloseTo(27)
  })

  it('of the limit around everything is made good by requests of every tier', async () => {
    const { limiter, pace } = setting()
    limiter.limited('service', MINUTE)
    limiter.passed('standard')
    limiter.passed('sensitive')
    expect(await pace('service')).toBeCloseTo(72 * 0.74)
  })

  it('presses, and the pressure fades', async () => {
    const { limiter, clock } = setting()
    expect(limiter.pressure('standard')).toBe(0)
    limiter.limited('standard', MINUTE)
    limiter.limited('standard', MINUTE)
    expect(limiter.pressure('standard')).toBe(0.25)
    expect(limiter.pressure('service')).toBe(0)
    await clock.advance('15m')
    expect(limiter.pressure('standard')).toBeCloseTo(0.25 / Math.E)
    for (let i = 0; i < 10; i++) {
      await clock.advance(limiter.opensIn('standard'))
      limiter.limited('standard', MINUTE)
    }
    expect(limiter.pressure('standard')).toBe(1)
    await clock.advance('24h')
    expect(limiter.pressure('standard')).toBeLessThan(1e-9)
  })
})

/** Asks when a slot is open, as the client does what it is asked: it charges at once. */
const urgently = (limiter: RateLimiter, signal: AbortSignal) =>
  limiter.whenOpen('standard', signal, async () => limiter.charge('standard'), { urgent: true })

describe('a slot', () => {
  it('is taken by the first who tries, and not by a second before another is open', async () => {
    const { clock, limiter, drain } = setting()
    await drain('standard', 0)
    expect(limiter.tryAcquire('standard')).toBe(false)
    await clock.advance(limiter.opensIn('standard'))
    expect([limiter.tryAcquire('standard'), limiter.tryAcquire('standard')]).toEqual([true, false])
  })

  it('of two who wait for it goes to one, and the next one to the other', async () => {
    const { clock, limiter, drain } = setting()
    await drain('standard', 0)
    const got: string[] = []
    for (const name of ['a', 'b']) {
      void limiter.acquire('standard', new AbortController().signal).then(() => got.push(name))
    }
    await clock.advance(limiter.opensIn('standard'))
    expect(got).toEqual(['a'])
    await clock.advance(limiter.opensIn('standard'))
    expect(got).toEqual(['a', 'b'])
  })

  it('that loops wait for is used in the same turn: what one of them asks is charged before the other looks', async () => {
    const { clock, limiter, drain } = setting()
    await drain('standard', 0)
    const asked: number[] = []
    const loop = () =>
      limiter.whenOpen('standard', new AbortController().signal, async () => {
        limiter.charge('standard')
        asked.push(clock.monotonic())
      })
    const loops = [loop(), loop()]
    await clock.advance('10s')
    await Promise.all(loops)
    const [first = 0, second = 0] = asked
    expect(second - first).toBeGreaterThan(2_000)
  })
})

describe('an urgent request', () => {
  it('waits for a slot, is known to wait, and takes the slot', async () => {
    const { clock, limiter } = setting()
    limiter.limited('standard', 10_000)
    const slot = urgently(limiter, new AbortController().signal)
    expect(limiter.urgentWaiting).toBe(true)
    await clock.advance('10s')
    await slot
    expect(limiter.urgentWaiting).toBe(false)
    expect(limiter.opensIn('standard')).toBeGreaterThan(0)
  })

  it('waits on when the wall clock jumps', async () => {
    const { clock, limiter } = setting()
    limiter.limited('standard', 10_000)
    let got = false
    const slot = urgently(limiter, new AbortController().signal).then(() => {
      got = true
    })
    await clock.jump('1h')
    await settle()
    expect(got).toBe(false)
    await clock.advance('10s')
    await slot
  })

  it('gives up with the reason of the signal and takes nothing', async () => {
    const { clock, limiter } = setting()
    limiter.limited('standard', 10_000)
    const stop = new AbortController()
    const slot = urgently(limiter, stop.signal)
    const reason = new Error('stop')
    stop.abort(reason)
    await expect(slot).rejects.toBe(reason)
    expect(limiter.urgentWaiting).toBe(false)
    await clock.advance('10s')
    expect(limiter.opensIn('standard')).toBe(0)
    expect(clock.pending).toBe(0)
  })
})
