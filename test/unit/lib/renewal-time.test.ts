import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renewalTime } from '../../../agent/lib/renewal-time.js'

fc.configureGlobal({ seed: 20260101 })

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const T = Date.parse('2026-01-01T00:00:00Z')
const SIX_HOURS = { ms: 6 * HOUR, explicit: false }

interface Row {
  readonly fact: string
  readonly life: number
  readonly threshold?: { ms: number; explicit: boolean }
  /** Remaining life at renewal for fraction 0 and for fraction 1. */
  readonly left: readonly [number, number]
}

const ROWS: readonly Row[] = [
  {
    fact: 'an hour is renewed with 35 to 36 minutes left, whatever the default threshold',
    life: HOUR,
    left: [35 * MINUTE, 36 * MINUTE],
  },
  { fact: 'a life of 50 minutes keeps 35 minutes', life: 50 * MINUTE, left: [35 * MINUTE, 35 * MINUTE] },
  {
    fact: 'a life just under 50 minutes is renewed at its half',
    life: 50 * MINUTE - 10 * SECOND,
    left: [25 * MINUTE - 5 * SECOND, 30 * MINUTE - 6 * SECOND],
  },
  { fact: 'ten seconds are renewed at their half', life: 10 * SECOND, left: [5 * SECOND, 6 * SECOND] },
  {
    fact: 'a day is renewed six hours ahead plus the spread',
    life: 24 * HOUR,
    left: [6 * HOUR, 6 * HOUR + 2.4 * HOUR],
  },
  {
    fact: 'a threshold set lower on purpose goes below the floor',
    life: HOUR,
    threshold: { ms: 10 * MINUTE, explicit: true },
    left: [10 * MINUTE, 16 * MINUTE],
  },
  {
    fact: 'a low threshold that nobody set does not',
    life: HOUR,
    threshold: { ms: 10 * MINUTE, explicit: false },
    left: [35 * MINUTE, 35 * MINUTE],
  },
  {
    fact: 'a threshold set on purpose, but above the floor, keeps the floor',
    life: HOUR,
    threshold: { ms: 40 * MINUTE, explicit: true },
    left: [35 * MINUTE, 36 * MINUTE],
  },
  {
    fact: 'a threshold set to the floor itself is not lower',
    life: 2 * HOUR,
    threshold: { ms: 35 * MINUTE, explicit: true },
    left: [35 * MINUTE, 47 * MINUTE],
  },
]

describe('renewalTime', () => {
  for (const { fact, life, threshold = SIX_HOURS, left } of ROWS) {
    it(fact, () => {
      const at = (fraction: number) => renewalTime({ notBefore: T, notAfter: T + life, threshold, fraction })
      expect([T + life - at(0), T + life - at(1)]).toEqual(left)
    })
  }

  it('a life of seconds behind a notBefore set back by 30 s is renewed at half of what was left on arrival', () => {
    const input = { notBefore: T - 30 * SECOND, notAfter: T + 10 * SECOND, threshold: SIX_HOURS, fraction: 0 }
    expect(renewalTime({ ...input, receivedAt: T })).toBe(T + 5 * SECOND)
    // Without the moment of arrival it is due at once: that is what the moment is for.
    expect(renewalTime(input)).toBeLessThan(T)
  })

  it('a clock that runs behind the CA counts from notBefore', () => {
    const input = { notBefore: T, notAfter: T + HOUR, threshold: SIX_HOURS, fraction: 0 }
    expect(renewalTime({ ...input, receivedAt: T - 50 * SECOND })).toBe(renewalTime(input))
  })

  it('a certificate that was over on arrival is due when it ended', () => {
    const input = { notBefore: T, notAfter: T + HOUR, threshold: SIX_HOURS, fraction: 0.3 }
    expect(renewalTime({ ...input, receivedAt: T + 2 * HOUR })).toBe(T + HOUR)
  })
})

const inputs = fc.record({
  life: fc.integer({ min: 1, max: 400 * 24 * HOUR }),
  backdated: fc.integer({ min: 0, max: HOUR }),
  threshold: fc.record({ ms: fc.integer({ min: 0, max: 1000 * HOUR }), explicit: fc.boolean() }),
  fraction: fc.double({ min: 0, max: 1, noNaN: true }),
})

/** A certificate received at T with `life` left, whose notBefore lies `backdated` before that. */
const received = ({ life, backdated, ...rest }: typeof inputs extends fc.Arbitrary<infer V> ? V : never) => ({
  notBefore: T - backdated,
  notAfter: T + life,
  receivedAt: T,
  ...rest,
})

describe('for every certificate', () => {
  it('renewal lies inside the life that was left on arrival, never before it and never after notAfter', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const at = renewalTime(received(input))
        expect(at).toBeGreaterThanOrEqual(T)
        expect(at).toBeLessThanOrEqual(T + input.life)
      }),
    )
  })

  it('a chain of renewals makes progress: each certificate is used for at least 30 % of its life', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        expect(renewalTime(received(input)) - T).toBeGreaterThanOrEqual(Math.floor(input.life * 0.3))
      }),
    )
  })

  it('50 minutes or more are renewed with at least 35 minutes left, unless the threshold was set lower', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        fc.pre(input.life >= 50 * MINUTE && !(input.threshold.explicit && input.threshold.ms < 35 * MINUTE))
        expect(T + input.life - renewalTime(received(input))).toBeGreaterThanOrEqual(35 * MINUTE)
      }),
    )
  })

  it('what is left at renewal is at most the threshold, half the life or the floor, plus a tenth of the life', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const left = T + input.life - renewalTime(received(input))
        const most = Math.max(Math.min(input.threshold.ms, input.life / 2) + input.life / 10, 35 * MINUTE)
        expect(left).toBeLessThanOrEqual(Math.ceil(most))
        if (input.life < 50 * MINUTE) expect(left).toBeLessThanOrEqual(Math.ceil(input.life * 0.6))
      }),
    )
  })

  it('a larger fraction never renews later', () => {
    fc.assert(
      fc.property(inputs, fc.double({ min: 0, max: 1, noNaN: true }), (input, other) => {
        const [low, high] = input.fraction <= other ? [input.fraction, other] : [other, input.fraction]
        expect(renewalTime(received({ ...input, fraction: high }))).toBeLessThanOrEqual(
          renewalTime(received({ ...input, fraction: low })),
        )
      }),
    )
  })
})
