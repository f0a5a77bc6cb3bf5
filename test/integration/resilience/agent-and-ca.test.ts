import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemRandom } from '../../../agent/platform/system-random.js'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { healthOf, type SvidStream, served, svidStream, uid } from './support.js'

const CACHE_SECONDS = 25
const PATIENCE = { seconds: 60 }

/** A server of the workspace API with short lives, and what an agent of its node needs. */
async function setting(dir: string, options: { ttl: number; issuerCacheSeconds: number }) {
  const server = await startServer(join(dir, 'icp'), {
    generation: 'workspace',
    agentTtlSeconds: 3600,
    issuerCacheSeconds: options.issuerCacheSeconds,
  })
  await server.createEntry({
    spiffeId: `spiffe://${TENANT}/web`,
    selectors: { 'unix:uid': uid },
    ttl: options.ttl,
  })
  const tokenPath = join(dir, 'join-token')
  const giveToken = async () => writeFile(tokenPath, (await server.createJoinToken()).token)
  await giveToken()
  const start = () =>
    startAgent({
      dir,
      server,
      settings: {
        AGENT__JOIN_TOKEN_PATH: tokenPath,
        SYNC__INTERVAL: '500ms',
        SYNC__BUNDLE_INTERVAL: '500ms',
        WORKLOAD_API__HOLD: '2s',
        HEALTH__ENABLED: 'true',
        HEALTH__PORT: '0',
      },
      // Renewals for a new issuer are spread over a minute, which is longer than the server's change-over here.
      world: { random: { ...systemRandom, fraction: () => 0 } },
    })
  return { server, giveToken, start }
}

/** Follows a stream; `lapses` counts the moments at which its SVID was not valid, `issuer` is that of the last one. */
async function follow(stream: SvidStream) {
  const state = { lapses: 0, updates: 0, ended: false, leaf: (await stream.next()).leaf }
  const look = setInterval(() => {
    if (Date.now() > Date.parse(state.leaf.validTo)) state.lapses++
  }, 50)
  const read = async () => {
    for (;;) {
      state.leaf = (await stream.next()).leaf
      state.updates++
    }
  }
  read().catch(() => {
    state.ended = true
  })
  return Object.assign(state, { [Symbol.dispose]: () => clearInterval(look) })
}

const refusals = (server: DevIcp) => server.requests.list().filter(({ status }) => status === 401)
const stateOf = async (agent: RunningAgent) => (await (await healthOf(agent))('/status')).body
const keysOnDisk = async (agent: RunningAgent) =>
  (await readFile(join(agent.dataDir, 'agent-identity.json'), 'utf8')).match(/BEGIN PRIVATE KEY/g)?.length ?? 0

test('no workload is ever without a valid SVID through a change of the CA, and no join token is needed', {
  timeout: 180_000,
}, async () => {
  await using dir = await temporaryDirectory()
  const { server, start } = await setting(dir.path, { ttl: 20, issuerCacheSeconds: CACHE_SECONDS })
  await using _server = server
  await using agent = await start()
  await served(agent.address)
  using stream = svidStream(agent.address)
  using held = await follow(stream)
  const before = held.leaf.issuer

  await server.rotateCa()
  await agent.logged('ICP server has a new issuer; the agent SVID is renewed early')
  await agent.logged('Agent SVID renewal successful')
  // Both are there: the old one is accepted until the server looks again, the new one from then on.
  await eventually(
    () => keysOnDisk(agent),
    (keys) => keys >= 2,
    PATIENCE,
  )
  await agent.logged(
    'ICP server accepts the other certificate of the agent',
    ({ certificate }) => certificate === 'newest',
  )
  const issued = held.updates
  await eventually(
    () => held.updates,
    (updates) => updates >= issued + 2,
    PATIENCE,
  )
  await eventually(
    () => held.leaf.issuer,
    (issuer) => issuer !== before,
    PATIENCE,
  )

  expect([held.lapses, held.ended]).toEqual([0, false])
  expect(server.requests.count({ endpoint: '/v1/node/attest' })).toBe(1)
  // At each change of what is accepted one refusal, or as many as there were requests at that moment.
  expect(refusals(server).length).toBeLessThanOrEqual(12)
  expect((await stateOf(agent)).components?.['agent_svid']?.status).toBe('healthy')
})

test.concurrent('an agent that hears of the new CA too late says so at once, and comes back with a fresh join token, also after a restart', {
  timeout: 180_000,
}, async () => {
  await using dir = await temporaryDirectory()
  const { server, start, giveToken } = await setting(dir.path, { ttl: 3600, issuerCacheSeconds: 0 })
  await using _server = server
  {
    await using agent = await start()
    const first = await served(agent.address)
    await server.rotateCa()
    await agent.logged('ICP server accepts no certificate of the agent')
    const body = await eventually(
      () => stateOf(agent),
      (found) => found.components?.['agent_svid']?.status === 'degraded',
      PATIENCE,
    )
    expect(body.components?.['agent_svid']?.message).toContain('agent.certificate_refused')
    expect(body.components?.['icp_service']?.status).toBe('healthy')
    expect((await served(agent.address)).leaf.serialNumber).toBe(first.leaf.serialNumber)
    expect(server.requests.count({ endpoint: '/v1/node/attest' })).toBe(1)
    // What it knows of the refusal is on disk within a second.
    await eventually(
      () => readFile(join(agent.dataDir, 'agent-identity.json'), 'utf8'),
      (text) => /"refused_since": \d/.test(text),
      PATIENCE,
    )
  }
  await giveToken()
  await using agent = await start()
  await agent.logged('A new join token was found; attesting again')
  await agent.logged('Node attestation successful')
  await eventually(
    () => stateOf(agent),
    (found) => found.components?.['agent_svid']?.status === 'healthy',
    PATIENCE,
  )
  expect(server.requests.count({ endpoint: '/v1/node/attest' })).toBe(2)
})

test.concurrent('callers of an agent whose certificate is refused are told that, and not that the server is away', {
  timeout: 180_000,
}, async () => {
  await using dir = await temporaryDirectory()
  const { server, start } = await setting(dir.path, { ttl: 4, issuerCacheSeconds: 0 })
  await using _server = server
  await using agent = await start()
  await served(agent.address)
  await server.rotateCa()
  await agent.logged('Workload SVID expired before it could be renewed')
  using stream = svidStream(agent.address)
  const { code, message } = await stream.failed()
  expect(code).toBe(14)
  expect(message).toContain('does not accept the certificate of the agent')
  expect(message).not.toContain('away')
})

test.concurrent('an agent that an administrator has revoked stays out until it has a new join token', {
  timeout: 180_000,
}, async () => {
  await using dir = await temporaryDirectory()
  const { server, start, giveToken } = await setting(dir.path, { ttl: 3600, issuerCacheSeconds: CACHE_SECONDS })
  await using _server = server
  await using agent = await start()
  await served(agent.address)
  await server.setAgentStatus(server.agents[0]?.id ?? '', 'revoked')
  await agent.logged('Agent was made inactive by an administrator')
  const body = await stateOf(agent)
  expect(body.components?.['agent_svid']?.message).toContain('icp.agent_inactive')
  const asked = () =>
    server.requests.count({ endpoint: '/v1/node/attest' }) + server.requests.count({ endpoint: '/v1/agent/renew' })
  const before = asked()
  await giveToken()
  await eventually(asked, (count) => count > before, PATIENCE)
  await eventually(
    () => stateOf(agent),
    (found) => found.components?.['agent_svid']?.status === 'healthy',
    PATIENCE,
  )
  expect(asked()).toBe(before + 1)
})
