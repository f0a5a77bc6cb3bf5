import { defineConfig } from 'vitest/config'

// `npm test` runs what is fast and deterministic; `npm run test:slow` what needs engines, toolchains or minutes, and
// nothing else.
const slow = ['test/**/*.slow.test.ts', 'test/interop/**/*.test.ts']
/** What `npm run test:unit` runs: nothing of it starts an agent, and nothing of it leaves anything behind. */
const unit = ['test/unit/**/*.test.ts', 'test/architecture/**/*.test.ts']
/** A real node: `npm run test:cluster` alone. */
const cluster = ['test/cluster/**/*.test.ts']
const runsCluster = process.env['ICP_TEST_CLUSTER'] === '1'
const runsSlow = runsCluster || process.env['ICP_TEST_SLOW'] === '1'

const projects = runsSlow
  ? [runsCluster ? { name: 'cluster', include: cluster } : { name: 'slow', include: slow }]
  : [
      // One after the other in the same process: what they all import is loaded once, which takes half of their time.
      { name: 'unit', include: unit, isolate: false, sequence: { groupOrder: 2 } },
      // Most of their time is spent waiting for what takes seconds (a renewal, an outage): six wait at once.
      {
        name: 'whole',
        include: ['test/**/*.test.ts'],
        exclude: [...unit, ...slow, ...cluster],
        maxWorkers: 6,
        sequence: { groupOrder: 1 },
      },
    ]

export default defineConfig({
  test: {
    projects: projects.map((test) => ({ extends: true as const, test })),
    environment: 'node',
    pool: 'forks',
    // Slow tests start engines, machines and toolchains: one at a time has the machine for itself.
    maxWorkers: runsSlow ? 1 : 2,
    // A machine that starves a test once gets a second try in CI; what fails twice fails.
    retry: process.env['CI'] ? 1 : 0,
    // A busy machine is no failure: nothing waits so long but what never comes.
    testTimeout: runsSlow ? 600_000 : 180_000,
    hookTimeout: runsSlow ? 600_000 : 180_000,
    expect: { poll: { timeout: 60_000 } },
    setupFiles: ['test/setup.ts'],
    // `npm run coverage`: a number to look at, and no gate, which would invite tests that assert nothing. Processes that
    // tests start are not counted.
    coverage: {
      provider: 'v8',
      include: ['agent/**/*.ts', 'attestors/**/*.ts'],
      reporter: ['text-summary'],
      reportOnFailure: true,
      reportsDirectory: 'node_modules/.cache/icp-coverage',
    },
    sequence: { seed: 1 },
  },
})
