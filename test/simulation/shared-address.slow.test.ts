import { describe, expect, it } from 'vitest'
import { type Outcome, type Scenario, simulate } from './shared-address.js'

const SEEDS = [1, 2, 3]
const STEP = 100

/** The worst of several runs. */
function worst(scenario: Scenario): Outcome {
  return SEEDS.map((seed) => simulate({ ...scenario, seed })).reduce((a, b) => ({
    expired: a.expired + b.expired,
    unissued: a.unissued + b.unissued,
    issued: Math.min(a.issued, b.issued),
    syncs: Math.min(a.syncs, b.syncs),
    limited: Math.max(a.limited, b.limited),
    leastLeftMinutes: Math.min(a.leastLeftMinutes, b.leastLeftMinutes),
    usualLeftMinutes: Math.min(a.usualLeftMinutes, b.usualLeftMinutes),
    allIssuedAtMinutes: Math.max(a.allIssuedAtMinutes, b.allIssuedAtMinutes),
    syncIntervalSeconds: Math.max(a.syncIntervalSeconds, b.syncIntervalSeconds),
  }))
}

describe('600 SVIDs of an hour behind one address', () => {
  it.each([1, 2, 5, 10, 20, 50])(
    'of %d agents are all renewed in time, for two days',
    { timeout: 900_000 },
    (agents) => {
      const outcome = worst({ agents, entries: 600, hours: 48 })
      report(agents, 600, outcome)
      expect([outcome.expired, outcome.unissued]).toEqual([0, 0])
      if (agents === 1) expect(outcome.limited).toBe(0)
    },
  )
})

describe('ever more SVIDs', () => {
  it.each([
    [1, 1100],
    [2, 1200],
    [5, 1100],
    [20, 1100],
    [50, 700],
  ])('of %d agents: up to %d are all renewed in time', { timeout: 1_800_000 }, (agents, promised) => {
    for (let entries = 600; ; entries += STEP) {
      const outcome = worst({ agents, entries, hours: 12 })
      report(agents, entries, outcome)
      if (outcome.expired + outcome.unissued === 0) continue
      expect(entries - STEP).toBeGreaterThanOrEqual(promised)
      return
    }
  })
})

function report(agents: number, entries: number, outcome: Outcome): void {
  const { expired, unissued, leastLeftMinutes, allIssuedAtMinutes, syncs, limited } = outcome
  const cells = [agents, entries, expired, unissued, leastLeftMinutes, allIssuedAtMinutes, syncs, limited]
  const row = cells.map((cell) => String(cell).padStart(7)).join(' ')
  process.stdout.write(`agents, entries, expired, never issued, least left, all issued at, syncs, 429s: ${row}\n`)
}
