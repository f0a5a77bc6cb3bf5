import { expect, test, vi } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { served, svidStream, uid } from './support.js'

vi.setConfig({ testTimeout: 180_000 })

/** Removes one of two entries that are served; resolves with the number of revocations that the server was asked for. */
async function revocationsAfterRemoval(settings: Readonly<Record<string, string>>): Promise<number> {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const gid = String(process.getgid?.())
  const doomed = await server.createEntry({
    spiffeId: `spiffe://${TENANT}/doomed`,
    selectors: { 'unix:uid': uid, 'unix:gid': gid },
  })
  await using agent = await startAgent({ dir: dir.path, server, settings: { SYNC__INTERVAL: '2s', ...settings } })
  await served(agent.address)
  using stream = svidStream(agent.address)
  await stream.until(({ ids }) => ids.length === 2)
  await server.deleteEntry(doomed.id)
  await stream.until(({ ids }) => ids.length === 1)
  const asked = () => server.requests.count({ endpoint: '/v1/workload/revoke', status: 200 })
  // What is not asked for by the next sync is not asked for.
  const syncs = () => server.requests.count({ endpoint: '/v1/entries/by-parent' })
  const before = syncs()
  await eventually(
    () => asked() > 0 || syncs() > before + 1,
    (done) => done,
  )
  return asked()
}

test.concurrent('the SVID of a removed entry is revoked at the server where that is wanted', async () => {
  expect(await revocationsAfterRemoval({ SECURITY__REVOKE_REMOVED: 'true' })).toBe(1)
})

test.concurrent('a server of the workspace API has forgotten it with the entry, which the agent says, and how to do it in time', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`, { generation: 'workspace' })
  const doomed = await server.createEntry({ spiffeId: `spiffe://${TENANT}/doomed`, selectors: { 'unix:uid': uid } })
  const settings = {
    SYNC__INTERVAL: '2s',
    SECURITY__REVOKE_REMOVED: 'true',
    AGENT__JOIN_TOKEN: (await server.createJoinToken()).token,
  }
  await using agent = await startAgent({ dir: dir.path, server, settings })
  await served(agent.address)
  await server.deleteEntry(doomed.id)
  const told = await agent.logged(
    'Workload SVID of a removed entry cannot be revoked: the ICP server deleted its record with the entry',
  )
  expect(told).toMatchObject({ level: 'warning', remedy: expect.stringContaining('then delete its entry') })
  expect(server.requests.list({ endpoint: '/v1/workload/revoke' }).map(({ status }) => status)).toEqual([404])
})

test.concurrent('nothing is revoked by itself', async () => {
  expect(await revocationsAfterRemoval({})).toBe(0)
})
