import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { HastyClock } from '../../conformance/hasty-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { fetchOnce, healthOf, served, uid } from './support.js'

/** Waits take a part of their time. */
const TIMES = 5

test('a node whose certificate lapsed goes on serving, says what it needs, and takes a new join token without a restart', async () => {
  await using dir = await temporaryDirectory()
  const clock = new HastyClock(TIMES)
  const options = { generation: 'workspace', agentTtlSeconds: 600, clock } as const
  let server = await startServer(`${dir.path}/icp`, options)
  const { host } = new URL(server.address)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const tokenPath = join(dir.path, 'join-token')
  await writeFile(tokenPath, (await server.createJoinToken()).token)
  await using agent = await startAgent({
    dir: dir.path,
    server,
    world: { clock },
    settings: {
      AGENT__JOIN_TOKEN_PATH: tokenPath,
      SYNC__INTERVAL: '500ms',
      SYNC__BUNDLE_INTERVAL: '500ms',
      ICP_SERVICE__MAX_RETRIES: '0',
      HEALTH__ENABLED: 'true',
      HEALTH__PORT: '0',
    },
  })
  const held = await served(agent.address)
  await server[Symbol.asyncDispose]()
  clock.pass(1_200_000)
  await agent.logged('Agent SVID expired')
  server = await startServer(`${dir.path}/icp`, { ...options, listen: host })
  await using _server = server

  const health = await healthOf(agent)
  const { body } = await eventually(
    () => health('/status'),
    (answer) => answer.body.components?.['agent_svid']?.message?.includes('join token') === true,
  )
  expect(body.status).toBe('degraded')
  expect((await health('/healthz')).status).toBe(200)
  expect((await health('/ready')).body.ready).toBe(true)
  expect((await fetchOnce(agent.address)).leaf.serialNumber).toBe(held.leaf.serialNumber)

  // No storm: what was refused is not asked again and again.
  const asked = () => server.requests.count({ endpoint: '/v1/node/attest' })
  const before = asked()
  await new Promise((resolve) => setTimeout(resolve, 5_000 / TIMES))
  expect(asked() - before).toBeLessThanOrEqual(1)

  await writeFile(tokenPath, (await server.createJoinToken()).token)
  await agent.logged('A new join token was found; attesting again')
  await eventually(
    () => health('/status'),
    (answer) => answer.body.components?.['agent_svid']?.status === 'healthy',
  )
})
