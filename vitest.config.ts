import { defineConfig } from 'vitest/config'

// `npm test` runs what is fast and deterministic; `npm run test:slow` what needs engines, toolchains or minutes, and
// nothing else.
const slow = ['test/**/*.slow.test.ts', 'test/interop/**/*.test.ts']
const runsSlow = process.env['ICP_TEST_SLOW'] === '1'

export default defineConfig({
  test: {
    include: runsSlow ? slow : ['test/**/*.test.ts'],
    exclude: runsSlow ? [] : slow,
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
    sequence: { seed: 1 },
  },
})
