import { defineConfig } from 'vitest/config'

// `npm test` runs the fast projects; `npm run test:slow` what needs engines, toolchains or minutes (*.slow.test.ts).
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: process.env['ICP_TEST_SLOW'] ? [] : ['test/**/*.slow.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    setupFiles: ['test/setup.ts'],
    sequence: { seed: 1 },
  },
})
