import { rename, stat } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { healthOf, served, uid } from './support.js'

vi.setConfig({ testTimeout: 180_000 })

test('a data directory that is removed while the agent runs is not made again; /status says so', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const settings = { HEALTH__ENABLED: 'true', HEALTH__PORT: '0' }
  await using agent = await startAgent({ dir: dir.path, server, settings })
  await served(agent.address)
  const health = await healthOf(agent)
  const status = async () => (await health('/status')).body
  await rename(agent.dataDir, `${dir.path}/away`)
  // A change of the entries has the cache written.
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/more`, selectors: { 'unix:uid': uid } })
  await agent.logged('Data directory was replaced')
  const body = await eventually(status, (found) => found.components?.['certificate_cache']?.status === 'degraded')
  expect(body.components?.['certificate_cache']?.message).toContain('restart the agent')
  await expect(stat(agent.dataDir)).rejects.toThrow('ENOENT')
  expect((await served(agent.address)).ids).toContain(`spiffe://${TENANT}/web`)
})
