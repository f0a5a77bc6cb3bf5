import { describe, expect, test } from 'vitest'
import { Limits, type LimitTier } from '../../../dev/icp-server/limits.js'

/** How many of so many requests at one moment get through. */
const taken = (limits: Limits, tier: LimitTier, at: number, count = 50, ip = 'a') =>
  Array.from({ length: count }, () => limits.takes(tier, ip, at)).filter(Boolean).length

describe('the rate limits', () => {
  test.each([
    ['bootstrap', 20, 60],
    ['standard', 10, 30],
    ['sensitive', 5, 10],
  ] as const)('the %s tier lets through %i at once and %i a minute', (tier, burst, perMinute) => {
    const limits = new Limits('faithful')
    expect(taken(limits, tier, 0)).toBe(burst)
    let through = 0
    for (let ms = 1000; ms <= 600_000; ms += 1000) if (limits.takes(tier, 'a', ms)) through++
    expect(through).toBe(perMinute * 10)
  })

  test('a bucket never holds more than its burst', () => {
    const limits = new Limits('faithful')
    taken(limits, 'standard', 0)
    expect(taken(limits, 'standard', 3_600_000)).toBe(10)
  })

  test('tiers and addresses have buckets of their own', () => {
    const limits = new Limits('faithful')
    taken(limits, 'standard', 0)
    expect(taken(limits, 'bootstrap', 0)).toBe(20)
    expect(taken(limits, 'standard', 0, 50, 'b')).toBe(10)
  })

  test('the window lets through 100 in any minute, and a refused request does not count', () => {
    const limits = new Limits('faithful')
    const admitted = (at: number, count: number) =>
      Array.from({ length: count }, () => limits.admits('a', at)).filter(Boolean).length
    expect(admitted(0, 60)).toBe(60)
    expect(admitted(30_000, 60)).toBe(40)
    expect(admitted(59_999, 60)).toBe(0)
    expect(admitted(60_000, 100)).toBe(60)
    expect(admitted(90_000, 100)).toBe(40)
    expect(limits.admits('b', 90_000)).toBe(true)
  })

  test('switched off, nothing is limited or counted', () => {
    const limits = new Limits('off')
    expect(taken(limits, 'sensitive', 0, 1000)).toBe(1000)
    expect(Array.from({ length: 200 }, () => limits.admits('a', 0)).every(Boolean)).toBe(true)
    limits.mode = 'faithful'
    expect(taken(limits, 'sensitive', 0)).toBe(5)
  })
})
