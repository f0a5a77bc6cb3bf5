import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { HastyClock } from '../../conformance/hasty-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { fetchOnce, healthOf, served, svidStream, uid } from './support.js'

const SETTINGS = {
  SYNC__INTERVAL: '5s',
  SYNC__BUNDLE_INTERVAL: '500ms',
  WORKLOAD_API__HOLD: '300ms',
  ICP_SERVICE__MAX_RETRIES: '0',
  HEALTH__ENABLED: 'true',
  HEALTH__PORT: '0',
}

test('while the server is away what is held is served until it ends, never longer, and comes back with the server', async () => {
  await using dir = await temporaryDirectory()
  const clock = new HastyClock(5)
  const options = { svidTtlSeconds: 600, clock }
  let server = await startServer(`${dir.path}/icp`, options)
  const { host } = new URL(server.address)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server, settings: SETTINGS, world: { clock } })
  const health = await healthOf(agent)
  await served(agent.address)
  using stream = svidStream(agent.address)
  const held = await stream.next()
  await server[Symbol.asyncDispose]()

  // Everything goes on, and the probes say what is the matter without asking for a restart.
  expect((await fetchOnce(agent.address)).leaf.serialNumber).toBe(held.leaf.serialNumber)
  const { body } = await eventually(
    () => health('/status'),
    (answer) => answer.body.components?.['icp_service']?.status === 'degraded',
  )
  expect(body.status).toBe('degraded')
  expect(Date.parse(body.components?.['icp_service']?.since ?? '')).toBeLessThanOrEqual(clock.now())
  expect((await health('/healthz')).status).toBe(200)
  expect((await health('/ready')).body.ready).toBe(true)

  // To its end, and no longer: the stream ends with Unavailable, and so does every call.
  const left = Date.parse(held.leaf.validTo) - clock.now()
  clock.pass(left - 120_000)
  expect((await fetchOnce(agent.address)).leaf.serialNumber).toBe(held.leaf.serialNumber)
  const end = stream.ended()
  clock.pass(120_000)
  expect(await end).toBe(status.UNAVAILABLE)
  await expect(fetchOnce(agent.address)).rejects.toMatchObject({ code: status.UNAVAILABLE })
  expect((await health('/healthz')).status).toBe(200)

  server = await startServer(`${dir.path}/icp`, { ...options, listen: host })
  await using _server = server
  const again = await eventually(
    () => fetchOnce(agent.address).catch(() => null),
    (context) => context !== null,
  )
  expect(again?.leaf.serialNumber).not.toBe(held.leaf.serialNumber)
})

test('/status names a server that cannot be reached as soon as the log does, while the request is still repeated', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({
    dir: dir.path,
    server: { address: 'https://127.0.0.1:1/spiresvc', caPath: server.caPath },
    settings: { ...SETTINGS, ICP_SERVICE__MAX_RETRIES: '3', ICP_SERVICE__RETRY_BACKOFF: '60' },
  })
  const health = await healthOf(agent)
  await agent.logged('ICP server cannot be reached')
  const { body } = await health('/status')
  expect(agent.lines.map(({ event }) => event)).not.toContain('Node attestation failed')
  expect(body.components?.['icp_service']).toMatchObject({
    status: 'degraded',
    message: expect.stringContaining('icp.unreachable'),
  })
})
