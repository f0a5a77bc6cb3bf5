import { expect, test } from 'vitest'
import { runChaos } from './run.js'
import { longRun } from './settings.js'

test('two minutes of a random bad day, fifty workload processes', { timeout: 400_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const report = await runChaos(longRun(process.cwd(), seed, 2))
  // The seed is what the day is made of again: npm run chaos -- --minutes 2 --seed N.
  expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] })
  expect(report.messages).toBeGreaterThan(report.workloads)
})
