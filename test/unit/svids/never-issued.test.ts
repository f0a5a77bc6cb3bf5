import { describe, expect, it } from 'vitest'
import { simulate } from '../../simulation/never-issued.js'

const SCENARIO = { agents: 2, fine: 10, never: 3, ttlSeconds: 300, minutes: 15, apartSeconds: 0 }

describe('three entries that are never issued and ten others, on each of two agents behind one address', () => {
  it('cost the others nothing: all are renewed with a third of their lives left, and nobody meets a 429', {
    timeout: 180_000,
  }, async () => {
    const outcome = await simulate(SCENARIO)
    expect(outcome.without).toEqual([])
    // 26 first SVIDs at one moment are more than the server answers at once, whatever they are for.
    expect(outcome.limited.filter((second) => second > 10)).toEqual([])
    expect(outcome.leastLeft).toBeGreaterThanOrEqual(1 / 3)
    expect(outcome.renewals).toBeGreaterThan(20 * 4)
    expect(outcome.inVain).toBeLessThan(6 * 11)
  })
})
