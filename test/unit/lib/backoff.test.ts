import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { delay } from '../../../agent/lib/backoff.js'

fc.configureGlobal({ seed: 20260101 })

describe('delay', () => {
  it.each([
    [0, 0, 0],
    [1, 2500, 5000],
    [2, 5000, 10_000],
    [3, 10_000, 20_000],
    [4, 20_000, 40_000],
    [5, 30_000, 60_000],
    [50, 30_000, 60_000],
    [100_000, 30_000, 60_000],
  ])('after %i failures a base of 5 s waits %i to %i ms', (failures, least, most) => {
    expect(delay(failures, { baseMs: 5000 }, 0)).toBe(least)
    expect(delay(failures, { baseMs: 5000 }, 1)).toBe(most)
  })

  it('the cap bounds a base that is larger', () => {
    expect(delay(1, { baseMs: 500_000, capMs: 60_000 }, 1)).toBe(60_000)
  })

  it('is never longer than the cap and never zero after a failure', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.integer({ min: 1, max: 600_000 }),
        fc.integer({ min: 1, max: 600_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (failures, baseMs, capMs, fraction) => {
          const ms = delay(failures, { baseMs, capMs }, fraction)
          expect(ms).toBeGreaterThan(0)
          expect(ms).toBeLessThanOrEqual(capMs)
        },
      ),
    )
  })
})
