import { describe, expect, it } from 'vitest'
import { simulate } from '../../simulation/shared-address.js'

const HOURS = 12

describe('600 SVIDs of an hour behind one address', () => {
  it.each([1, 5, 20])('of %d agents are all renewed in time, for half a day', { timeout: 60_000 }, (agents) => {
    const outcome = simulate({ agents, entries: 600, hours: HOURS })
    expect([outcome.expired, outcome.unissued]).toEqual([0, 0])
    expect(outcome.leastLeftMinutes).toBeGreaterThan(5)
    expect(outcome.allIssuedAtMinutes).toBeLessThan(40)
    // Each was renewed again and again: at least once in 50 minutes.
    expect(outcome.issued).toBeGreaterThan(600 * HOURS * (60 / 50))
    // A change of entries reaches every agent within a few minutes, on average.
    expect(outcome.syncs / agents).toBeGreaterThan(HOURS * 12)
    if (agents === 1) {
      expect(outcome.limited).toBe(0)
      expect(outcome.leastLeftMinutes).toBeGreaterThanOrEqual(34.5)
      expect(outcome.syncIntervalSeconds).toBe(30)
    }
  })
})

describe('programs that match no entry and ask each second', () => {
  it.each([
    [1, 1],
    [1, 10],
    [5, 10],
    [20, 3],
  ])('on each of %d agents, %d of them, cost no SVID', { timeout: 60_000 }, (agents, unmatched) => {
    const outcome = simulate({ agents, entries: 600, hours: 4, unmatched })
    expect([outcome.expired, outcome.unissued]).toEqual([0, 0])
    expect(outcome.allIssuedAtMinutes).toBeLessThan(40)
    if (agents === 1) {
      expect(outcome.limited).toBe(0)
      expect(outcome.leastLeftMinutes).toBeGreaterThanOrEqual(34.5)
    }
  })
})

describe('agents of unequal size behind one address', () => {
  it('share it by need: one with half of 600 entries beside nineteen small ones renews all of its own', () => {
    const scenario = { agents: 20, entries: 600, hours: 4, firstHas: 0.5 }
    expect(simulate(scenario)).toMatchObject({ expired: 0, unissued: 0 })
  })
})

describe('one agent with nine tenths of 600 entries', () => {
  it.each([1, 2, 3])('beside nineteen small ones renews all of its own (seed %d)', { timeout: 60_000 }, (seed) => {
    const scenario = { agents: 20, entries: 600, hours: HOURS, firstHas: 0.9, seed }
    expect(simulate(scenario)).toMatchObject({ expired: 0, unissued: 0 })
  })
})

describe('short-lived SVIDs', () => {
  it('of ten minutes, 100 of them on five agents, are renewed in time', () => {
    const scenario = { agents: 5, entries: 100, hours: 2, svidLifeMs: 600_000 }
    expect(simulate(scenario)).toMatchObject({ expired: 0, unissued: 0 })
  })
})

describe('the simulation', () => {
  it('can fail: three times what the limits allow expires', () => {
    const outcome = simulate({ agents: 5, entries: 4000, hours: 2 })
    expect(outcome.expired + outcome.unissued).toBeGreaterThan(0)
    expect(outcome.limited).toBeGreaterThan(0)
  })

  it('gives the same result for the same seed', () => {
    const scenario = { agents: 5, entries: 100, hours: 1, seed: 7 }
    expect(simulate(scenario)).toEqual(simulate(scenario))
  })
})
