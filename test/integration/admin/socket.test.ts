import { chmodSync, existsSync, lstatSync, renameSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { ROUTES } from '../../../agent/admin/route-table.js'
import { status } from '../../../agent/admin/routes/status.js'
import { workloads } from '../../../agent/admin/routes/workloads.js'
import { asNobody, asNobodyMeanwhile, canBecomeNobody } from '../../fakes/other-user.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { served, svidStream, uid } from '../resilience/support.js'
import { ask, clientOf, closedAfter, socketOf } from './support.js'

vi.setConfig({ testTimeout: 120_000 })

const never = new AbortController().signal
const NOWHERE = { address: 'https://127.0.0.1:1', caPath: '/etc/ssl/certs/ca-certificates.crt' }

test('the admin socket answers what its schemas say, and what is so', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server })
  await served(agent.address)
  using client = clientOf(agent)
  for (const route of ROUTES.filter(({ method, path }) => method === 'GET' && !path.includes(':'))) {
    const answer = await client.call({ path: route.path, signal: never })
    // Parsing leaves out what the schema does not declare.
    expect(route.schema.parse(answer), route.path).toEqual(answer)
  }
  const told = await client.get(status.schema, status.path, never)
  expect(told).toMatchObject({
    api_version: 1,
    ready: true,
    agent: { node_id: 'test-node' },
    entries: { by_state: { issued: 1 } },
  })
  expect(told.changes.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['node', 'entries', 'svid', 'bundle']))
  expect(told.agent_svid).toMatchObject({ state: 'valid', spiffe_id: `spiffe://${TENANT}/agent/test-node` })
})

test('a workload that is connected is listed with what it is served', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const entry = await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server })
  using stream = svidStream(agent.address)
  await stream.next()
  using client = clientOf(agent)
  const { rows } = await client.list({ ...workloads, path: `${workloads.path}?pid=${process.pid}` }, never)
  expect(rows).toMatchObject([
    { pid: process.pid, state: 'served', spiffe_ids: [`spiffe://${TENANT}/web`], entry_ids: [entry.id] },
  ])
  expect(rows[0]?.streams).toContainEqual(expect.objectContaining({ method: 'FetchX509SVID', sends: 1 }))
})

test("the socket is its user's alone, is there before the node is attested, and goes with the agent", async () => {
  await using dir = await temporaryDirectory()
  const agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const path = socketOf(agent)
  expect(lstatSync(path).mode & 0o777).toBe(0o600)
  const { body } = await ask(path)
  expect(JSON.parse(body)).toMatchObject({ ready: false, agent_svid: { state: 'starting' } })
  await agent.stop()
  expect(existsSync(path)).toBe(false)
})

test.runIf(canBecomeNobody)('another user gets nothing, even where the permissions have been opened', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const path = socketOf(agent)
  const source = `
    import { connect } from 'node:net'
    const socket = connect(process.argv[2])
    let told = ''
    socket.on('connect', () => socket.write('GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'))
    socket.on('data', (piece) => { told += piece })
    socket.on('error', (error) => { told += error.code === 'EPIPE' || error.code === 'ECONNRESET' ? '' : error.code })
    socket.on('close', () => console.log(JSON.stringify({ told })))`
  const asked = () => asNobody(import.meta.dirname, source, [path])
  expect(asked()).toEqual({ told: 'EACCES' })
  for (const opened of [dir.path, agent.dataDir]) chmodSync(opened, 0o755)
  chmodSync(path, 0o666)
  expect(await asNobodyMeanwhile(import.meta.dirname, source, [path])).toEqual({ told: '' })
  expect(agent.lines).toContainEqual(expect.objectContaining({ event: expect.stringContaining('refused'), uid: 65534 }))
})

test('a socket that an earlier run has left is taken over; anything else there stays, and the agent serves without', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using first = await startAgent({ dir: dir.path, server })
  await first.stop()
  const path = socketOf(first)
  // Node removes the path when it closes: so a child leaves it, which is killed.
  await leaveSocket(path)
  {
    await using second = await startAgent({ dir: dir.path, server })
    expect((await ask(socketOf(second))).status).toBe(200)
  }
  writeFileSync(path, 'precious')
  await using third = await startAgent({ dir: dir.path, server })
  const line = await third.logged('Admin socket could not start; the agent goes on without it')
  expect(line.level).toBe('error')
  expect(lstatSync(path).isFile()).toBe(true)
})

test('two agents with one admin socket: the second serves without, and says that it is degraded', async () => {
  await using dir = await temporaryDirectory()
  const settings = { AGENT__ADMIN_SOCKET_PATH: join(dir.path, 'shared', 'admin.sock') }
  await using first = await startAgent({ dir: join(dir.path, 'one'), server: NOWHERE, settings })
  const health = { ...settings, HEALTH__ENABLED: 'true', HEALTH__PORT: '0' }
  await using second = await startAgent({ dir: join(dir.path, 'two'), server: NOWHERE, settings: health })
  await second.logged('Admin socket could not start; the agent goes on without it')
  const { body } = await ask(join(second.dataDir, 'health.sock'), { url: '/healthz?verbose' })
  expect(JSON.parse(body).reasons.join()).toContain('the admin socket cannot be opened: another agent holds')
  expect((await ask(settings.AGENT__ADMIN_SOCKET_PATH)).status).toBe(200)
  expect(JSON.parse((await ask(settings.AGENT__ADMIN_SOCKET_PATH)).body).process.pid).toBe(process.pid)
  expect(first.dataDir).not.toBe(second.dataDir)
})

test('the admin socket is never in the directory that workloads mount', async () => {
  await using dir = await temporaryDirectory()
  const settings = { AGENT__DATA_DIR: join(dir.path, 'run', 'data') }
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE, settings })
  const { error } = await agent.logged('Admin socket could not start; the agent goes on without it')
  expect(error).toMatchObject({ code: 'admin.unavailable' })
  expect(existsSync(socketOf(agent))).toBe(false)
})

test('a body, a header or a path that is too much is refused, and the next request is answered', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const path = socketOf(agent)
  const json = { 'content-type': 'application/json' }
  const statuses = [
    (await ask(path, { method: 'GET', url: '/v1/nothing' })).status,
    (await ask(path, { method: 'DELETE' })).status,
    (await ask(path, { url: '/v1/entries?limit=501' })).status,
    (await ask(path, { url: '/v1/denials/none' })).status,
    (await ask(path, { headers: { 'x-long': 'x'.repeat(9_000) } })).status,
  ]
  expect(statuses).toEqual([404, 404, 400, 404, 431])
  const large = await ask(path, { method: 'POST', url: '/v1/nothing', body: 'x'.repeat(100_000), headers: json })
  expect([404, 413]).toContain(large.status)
  expect(await closedAfter(path, 'no http at all\r\n\r\n')).toContain('400')
  expect((await ask(path)).status).toBe(200)
})

test('more connections than 16 are closed at once; when they go, there is room again', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const path = socketOf(agent)
  const held: Socket[] = []
  for (let i = 0; i < 16; i++) held.push(await connected(path))
  expect(await closedAfter(path)).toBe('')
  for (const socket of held) socket.destroy()
  await eventually(
    () =>
      ask(path).then(
        ({ status }) => status,
        () => 0,
      ),
    (status) => status === 200,
  )
})

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket))
    socket.on('error', reject)
  })
}

/** A socket at the path at which nobody listens. */
async function leaveSocket(path: string): Promise<void> {
  const other = `${path}.x`
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(other, resolve))
  renameSync(other, path)
  await new Promise((resolve) => server.close(resolve))
}
