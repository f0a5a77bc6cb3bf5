import { expect, test } from 'vitest'
import { free, Ledger } from './ledger.js'
import { KINDS, planFaults } from './plan.js'
import { runChaos } from './run.js'
import { courseOf } from './samples.js'
import { longRun, shortRun } from './settings.js'

/** A seed whose twenty seconds hold a kill, a server that is away, a new CA and damage to the cache. */
const SEED = 271

test('twenty seconds of a bad day break nothing', { timeout: 120_000 }, async () => {
  const report = await runChaos(shortRun(process.cwd(), SEED))
  // Other tests run beside this one and may starve it: how soon everybody is back is for the slow test to judge.
  expect(report.violations.filter(({ what }) => !what.includes('with nothing amiss'))).toEqual([])
  expect(report.faultCount + Object.keys(report.skipped).length).toBeGreaterThanOrEqual(5)
  expect(report.certificatesReceived).toBeGreaterThan(report.workloads)
  expect(report.jwts.verified).toBeGreaterThan(0)
})

test('a seed says everything: the same faults at the same moments with the same draws', () => {
  const { runMs, tempo } = longRun('', 7, 60)
  const plan = planFaults(7, runMs, 11_000, tempo)
  expect(planFaults(7, runMs, 11_000, tempo)).toEqual(plan)
  expect(planFaults(8, runMs, 11_000, tempo)).not.toEqual(plan)
  expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(KINDS))
  expect(Math.max(...plan.map(({ at, lastsMs }) => at + lastsMs))).toBeLessThanOrEqual(runMs - 11_000)
})

test('time without an identity counts only while nothing is amiss', () => {
  const faults = [
    { from: 10, to: 20 },
    { from: 15, to: 30 },
  ]
  expect(free({ from: 5, to: 50 }, faults)).toEqual([
    { from: 5, to: 10 },
    { from: 30, to: 50 },
  ])
  expect(free({ from: 12, to: 18 }, faults)).toEqual([])
})

test('a workload that is not back within ten seconds is a violation', () => {
  const ledger = new Ledger()
  const now = Date.now()
  ledger.began('slow', now)
  ledger.reported('slow', { kind: 'served', served: true, why: '', at: now + 10_001 })
  ledger.began('quick', now)
  ledger.reported('quick', { kind: 'served', served: true, why: '', at: now + 9_999 })
  ledger.began('never', now)
  ledger.close(now + 60_000, { hearsAfterMs: 0 })
  expect(ledger.violations.map(({ what }) => what.split(' ')[0])).toEqual(['slow', 'never'])
  expect(ledger.longest()).toEqual({ gapMs: 60_000, recoveryMs: 60_000 })
})

test('memory that grows shows as a slope', () => {
  const samples = Array.from({ length: 100 }, (_, i) => ({
    at: i * 60_000,
    rssKib: 50_000 + i * 10,
    heapKib: 9_000,
    fds: 20,
  }))
  expect(courseOf(samples)).toMatchObject({ rssSlopeKibPerMinute: 10, heapSlopeKibPerMinute: 0, fds: [20, 20] })
})
