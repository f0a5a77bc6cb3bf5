import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Budget, type Tier } from '../../../agent/icp/budget.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { fixedRandom } from '../../fakes/random.js'
import { ServerLimits } from '../../simulation/server-limits.js'

const MINUTE = 60_000

function setting(fraction = 0) {
  const clock = new FakeClock()
  const budget = new Budget(clock, fixedRandom(fraction))
  /** Takes every slot that opens within so many milliseconds. */
  const drain = async (tier: Tier, ms: number): Promise<number> => {
    let taken = 0
    const end = clock.monotonic() + ms
    for (;;) {
      const opensIn = budget.opensIn(tier)
      if (clock.monotonic() + opensIn > end) return taken
      await clock.advance(opensIn)
      budget.take(tier)
      taken++
    }
  }
  /** Requests per minute, from how much later a slot opens with each that is owed. */
  const pace = async (tier: Tier): Promise<number> => {
    await clock.advance(budget.opensIn(tier) + 5 * MINUTE)
    while (budget.opensIn(tier) === 0) budget.take(tier)
    const before = budget.opensIn(tier)
    for (let i = 0; i < 20; i++) budget.take(tier)
    return (20 * MINUTE) / (budget.opensIn(tier) - before)
  }
  return { clock, budget, drain, pace }
}

describe('the pace of a lone agent', () => {
  it.each<[Tier, number, number]>([
    ['bootstrap', 16, 54],
    ['standard', 8, 27],
    ['sensitive', 4, 9],
    ['open', 16, 72],
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
        const budget = new Budget({ monotonic: () => t }, fixedRandom())
        for (const { standard, idle } of steps) {
          const tier = standard < standardPercent ? 'standard' : 'open'
          t += idle % 50 === 0 ? idle : 0
          t += budget.opensIn(tier)
          budget.take(tier)
          expect(limits.refuses(tier, t)).toBeNull()
          budget.passed(tier)
        }
      }),
      { numRuns: 50 },
    )
  })

  it('counts every request against the limit around everything as well', async () => {
    const { clock, budget } = setting()
    for (let i = 0; i < 16; i++) budget.take('open')
    expect(budget.opensIn('standard')).toBeGreaterThan(0)
    await clock.advance('1m')
    expect(budget.opensIn('standard')).toBe(0)
  })

  it('owes a slot that is taken while none is open', async () => {
    const { budget, drain } = setting()
    await drain('standard', 0)
    const before = budget.opensIn('standard')
    budget.take('standard')
    expect(budget.opensIn('standard')).toBeCloseTo(before + MINUTE / 27, -1)
  })
})

describe('a 429', () => {
  it('stops the tier for as long as the server says, and a little longer by chance', async () => {
    for (const [fraction, wait] of [
      [0, 60_000],
      [0.999, 74_985],
    ] as const) {
      const { budget, clock } = setting(fraction)
      budget.limited('standard', 60_000)
      expect(budget.opensIn('standard')).toBe(wait)
      await clock.advance(wait - 1)
      expect(budget.opensIn('standard')).toBe(1)
      await clock.advance(1)
      expect(budget.opensIn('standard')).toBe(0)
    }
  })

  it('without Retry-After counts as a minute, and one of hours as five minutes', () => {
    const { budget } = setting()
    budget.limited('standard', MINUTE)
    expect(budget.opensIn('standard')).toBe(MINUTE)
    budget.limited('standard', 24 * 60 * MINUTE)
    expect(budget.opensIn('standard')).toBe(5 * MINUTE)
  })

  it('leaves the other tiers alone', () => {
    const { budget } = setting()
    budget.limited('standard', MINUTE)
    expect([budget.opensIn('bootstrap'), budget.opensIn('open')]).toEqual([0, 0])
  })

  it('of the limit around everything stops and presses every tier, and lowers the pace of all together', async () => {
    const { budget, pace } = setting()
    budget.limited('open', 20_000)
    for (const tier of ['bootstrap', 'standard', 'sensitive', 'open'] as const) {
      expect(budget.opensIn(tier)).toBe(20_000)
      expect(budget.pressure(tier)).toBe(0.25)
    }
    expect(await pace('open')).toBeCloseTo(72 * 0.7)
    expect(await pace('standard')).toBeCloseTo(27)
  })

  it('gives no burst after the pause', async () => {
    const { budget, clock, drain } = setting()
    budget.limited('standard', MINUTE)
    await clock.advance(budget.opensIn('standard'))
    expect(await drain('standard', 0)).toBe(1)
  })

  it('lowers the pace once for requests that failed side by side, and never below one in two minutes', async () => {
    const { budget, clock, pace } = setting()
    for (let i = 0; i < 3; i++) budget.limited('standard', MINUTE)
    expect(await pace('standard')).toBeCloseTo(27 * 0.7)
    for (let i = 0; i < 50; i++) {
      await clock.advance(budget.opensIn('standard'))
      budget.limited('standard', MINUTE)
    }
    expect(await pace('standard')).toBeCloseTo(0.5)
  })

  it('is made good by requests that pass, up to the full pace', async () => {
    const { budget, pace } = setting()
    budget.limited('standard', MINUTE)
    budget.passed('standard')
    expect(await pace('standard')).toBeCloseTo(27 * 0.72)
    for (let i = 0; i < 100; i++) budget.passed('standard')
    expect(await pace('standard')).toBeCloseTo(27)
  })

  it('presses, and the pressure fades', async () => {
    const { budget, clock } = setting()
    expect(budget.pressure('standard')).toBe(0)
    budget.limited('standard', MINUTE)
    budget.limited('standard', MINUTE)
    expect(budget.pressure('standard')).toBe(0.25)
    expect(budget.pressure('open')).toBe(0)
    await clock.advance('15m')
    expect(budget.pressure('standard')).toBeCloseTo(0.25 / Math.E)
    for (let i = 0; i < 10; i++) {
      await clock.advance(budget.opensIn('standard'))
      budget.limited('standard', MINUTE)
    }
    expect(budget.pressure('standard')).toBe(1)
    await clock.advance('24h')
    expect(budget.pressure('standard')).toBeLessThan(1e-9)
  })
})

describe('an urgent request', () => {
  it('waits for a slot, is known to wait, and takes the slot', async () => {
    const { clock, budget } = setting()
    budget.limited('standard', 10_000)
    const slot = budget.slot('standard', new AbortController().signal, clock)
    expect(budget.urgentWaiting).toBe(true)
    await clock.advance('10s')
    await slot
    expect(budget.urgentWaiting).toBe(false)
    expect(budget.opensIn('standard')).toBeGreaterThan(0)
  })

  it('waits on when the wall clock jumps', async () => {
    const { clock, budget } = setting()
    budget.limited('standard', 10_000)
    let got = false
    const slot = budget.slot('standard', new AbortController().signal, clock).then(() => {
      got = true
    })
    await clock.jump('1h')
    await settle()
    expect(got).toBe(false)
    await clock.advance('10s')
    await slot
  })

  it('gives up with the reason of the signal and takes nothing', async () => {
    const { clock, budget } = setting()
    budget.limited('standard', 10_000)
    const stop = new AbortController()
    const slot = budget.slot('standard', stop.signal, clock)
    const reason = new Error('stop')
    stop.abort(reason)
    await expect(slot).rejects.toBe(reason)
    expect(budget.urgentWaiting).toBe(false)
    await clock.advance('10s')
    expect(budget.opensIn('standard')).toBe(0)
    expect(clock.pending).toBe(0)
  })
})
