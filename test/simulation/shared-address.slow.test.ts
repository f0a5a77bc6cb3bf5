import { describe, expect, it } from 'vitest'
import { type Outcome, simulate } from './shared-address.js'

describe('600 SVIDs of an hour behind one address', () => {
  it.each([1, 5, 20])('of %d agents are all renewed in time, for two days', { timeout: 900_000 }, (agents) => {
    const outcome = simulate({ agents, entries: 600, hours: 48, seed: 1 })
    report(agents, 600, outcome)
    expect([outcome.expired, outcome.unissued]).toEqual([0, 0])
    if (agents === 1) expect(outcome.limited).toBe(0)
  })
})

/** How far it reaches is searched by `node scripts/bench.mjs rate-limits`; what it found holds here. */
describe('ever more SVIDs', () => {
  it.each([
    [1, 1100],
    [5, 1100],
    [20, 1100],
  ])('of %d agents: %d are all renewed in time', { timeout: 900_000 }, (agents, entries) => {
    const outcome = simulate({ agents, entries, hours: 12, seed: 2 })
    report(agents, entries, outcome)
    expect([outcome.expired, outcome.unissued]).toEqual([0, 0])
  })
})

function report(agents: number, entries: number, outcome: Outcome): void {
  const { expired, unissued, leastLeftMinutes, allIssuedAtMinutes, syncs, limited } = outcome
  const cells = [agents, entries, expired, unissued, leastLeftMinutes, allIssuedAtMinutes, syncs, limited]
  const row = cells.map((cell) => String(cell).padStart(7)).join(' ')
  process.stdout.write(`agents, entries, expired, never issued, least left, all issued at, syncs, 429s: ${row}\n`)
}
