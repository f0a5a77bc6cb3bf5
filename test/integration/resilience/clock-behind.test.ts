import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { served, uid } from './support.js'

test('a node that starts with its clock behind is let in again once the clock is set, without a new join token', {
  timeout: 120_000,
}, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`, { generation: 'workspace' })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const tokenPath = join(dir.path, 'join-token')
  await writeFile(tokenPath, (await server.createJoinToken()).token)
  const settings = { AGENT__JOIN_TOKEN_PATH: tokenPath }
  {
    await using first = await startAgent({ dir: dir.path, server, settings })
    await first.logged('Agent startup completed successfully')
  }
  // Whatever attested now would use this one up.
  await writeFile(tokenPath, (await server.createJoinToken()).token)
  server.requests.clear()
  let offset = -86_400_000
  const clock = new SystemClock(() => Date.now() + offset)
  await using agent = await startAgent({ dir: dir.path, server, settings, world: { clock } })
  await eventually(
    () => server.requests.count({ endpoint: '/bundle/:id' }),
    (asked) => asked > 0,
  )
  offset = 0
  clock.compare()
  await served(agent.address)
  expect(server.requests.count({ endpoint: '/v1/node/attest' })).toBe(0)
  expect(server.requests.count({ status: 401 })).toBe(0)
  expect(agent.lines.filter(({ event }) => event === 'Node is locked out')).toEqual([])
})
