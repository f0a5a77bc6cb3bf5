import { expect, test } from 'vitest'
import { healthSocketPath } from '../../../agent/main/health-socket-path.js'

test('health is served beside the keys', () => {
  const agent = { dataDir: '/var/lib/none', socketPath: '/run/none/agent.sock' }
  expect(healthSocketPath(agent)).toEqual({ path: '/var/lib/none/health.sock' })
})

test('a directory of the socket below that of the data is no obstacle', () => {
  const agent = { dataDir: '/srv/none', socketPath: '/srv/none/sockets/agent.sock' }
  expect(healthSocketPath(agent)).toEqual({ path: '/srv/none/health.sock' })
})

test.each([
  ['is the directory of the socket', '/srv/none'],
  ['lies below the directory of the socket', '/srv/none/data'],
])('health is served on no socket where the data directory %s, which workloads mount', (_where, dataDir) => {
  expect(healthSocketPath({ dataDir, socketPath: '/srv/none/agent.sock' })).toMatchObject({
    reason: expect.stringContaining('agent.data_dir'),
  })
})

test('nor where its path would not fit', () => {
  const agent = { dataDir: `/${'x'.repeat(100)}`, socketPath: '/run/none/agent.sock' }
  expect(healthSocketPath(agent)).toHaveProperty('reason')
})
