import { statSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { HealthInput } from '../../../agent/observability/health.js'
import {
  type HealthServer,
  type HealthServerOptions,
  startHealthServer,
  startHealthSocket,
} from '../../../agent/observability/http-server.js'
import { listenPrivately } from '../../../agent/platform/private-socket.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { temporaryDirectory } from '../../support/agent.js'

const FACTS: HealthInput = {
  now: 0,
  startedAt: 0,
  uptimeMs: 0,
  stopping: false,
  agentSvid: { spiffeId: null, expiresAt: 1, trouble: null },
  icpService: { address: 'https://icp.test', reachedAt: 0, trouble: null, skewMs: null },
  workloadApi: { socketPath: '/run/a.sock', listening: true, lostSince: null, connections: 0, streams: 0 },
  pods: { callersHidden: null, awaited: false },
  cache: { restored: true, trouble: null },
  sync: { intervalMs: 30_000, lastSuccessAt: 0 },
  entries: { byState: {}, neverIssued: [] },
  validSvids: 0,
  node: null,
  attestors: [],
  brokenFiles: [],
}

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server[Symbol.asyncDispose]()
})

const source = () => ({
  input: () => FACTS,
  metrics: { text: async () => 'a 1\n', contentType: 'text/plain; version=0.0.4; charset=utf-8' },
  version: '1.2.3',
  agent: { tenantId: 'tenant', nodeId: 'node' },
  clock: new SystemClock(),
  log: new RecordedSinks().log,
})

async function start(options: Partial<HealthServerOptions> = {}): Promise<HealthServer & { url: string }> {
  const server = await startHealthServer({ bindAddress: '127.0.0.1', port: 0, ...source(), ...options })
  open.push(server)
  return { ...server, url: `http://127.0.0.1:${server.port}` }
}

test.each([
  ['/healthz', 200, { status: 'healthy' }],
  ['/health', 200, { status: 'healthy' }],
  ['/healthz/', 200, { status: 'healthy' }],
  ['/live', 200, { status: 'healthy' }],
  ['/livez', 200, { status: 'healthy' }],
  ['/ready', 200, { ready: true }],
  ['/readyz', 200, { ready: true }],
  ['/', 200, { service: 'ICP Agent', version: '1.2.3', tenant_id: 'tenant', node_id: 'node' }],
])('GET %s answers %d with JSON', async (path, code, body) => {
  const response = await fetch((await start()).url + path)
  expect(response.status).toBe(code)
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(await response.json()).toEqual(body)
})

test('?verbose adds the components', async () => {
  const response = await fetch(`${(await start()).url}/healthz?verbose`)
  expect(await response.json()).toHaveProperty('components.agent_svid.status', 'healthy')
})

test('a lost socket fails liveness and readiness', async () => {
  const { url } = await start({
    input: () => ({ ...FACTS, workloadApi: { ...FACTS.workloadApi, lostSince: 0 } }),
  })
  expect((await fetch(`${url}/healthz`)).status).toBe(503)
  expect((await fetch(`${url}/ready`)).status).toBe(503)
  expect((await fetch(`${url}/status`)).status).toBe(200)
})

test('metrics come as Prometheus text', async () => {
  const response = await fetch(`${(await start()).url}/metrics`)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await response.text()).toBe('a 1\n')
})

test('HEAD answers without a body', async () => {
  const response = await fetch(`${(await start()).url}/healthz`, { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(await response.text()).toBe('')
})

test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'])('%s is refused with 405', async (method) => {
  const { url } = await start()
  for (const path of ['/healthz', '/nowhere']) {
    const response = await fetch(url + path, { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD')
  }
})

test('an unknown path is 404 and names those that exist', async () => {
  const response = await fetch(`${(await start()).url}/nowhere`)
  expect(response.status).toBe(404)
  expect(await response.text()).toContain('/status')
})

test('a defect behind an answer is 500 without details, and logged', async () => {
  const sinks = new RecordedSinks()
  const { url } = await start({
    log: sinks.log,
    input: () => {
      throw new Error('secret detail')
    },
  })
  const response = await fetch(`${url}/healthz`)
  expect(response.status).toBe(500)
  expect(await response.text()).not.toContain('detail')
  expect(sinks.events('error')).toEqual(['Health endpoint failed'])
})

test('headers of more than 8 KiB are refused', async () => {
  const response = await fetch(`${(await start()).url}/healthz`, { headers: { x: 'y'.repeat(9000) } })
  expect(response.status).toBe(431)
})

test('a taken port is told with advice', async () => {
  const { port } = await start()
  await expect(start({ port })).rejects.toMatchObject({
    code: 'health.unavailable',
    message: expect.stringMatching(new RegExp(`^127\\.0\\.0\\.1:${port} is in use .*sport = :${port}.*health\\.port`)),
  })
})

test('an address that is not of this machine is told as such', async () => {
  await expect(start({ bindAddress: '192.0.2.1' })).rejects.toMatchObject({
    code: 'health.unavailable',
    message: expect.stringContaining('health.bind_address'),
  })
})

test('silent connections keep neither a probe from its answer nor the server from ending', async () => {
  const server = await start()
  const sockets: Socket[] = []
  for (let i = 0; i < 60; i++) {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    sockets.push(socket)
    await new Promise((resolve) => socket.once('connect', resolve))
  }
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  await server[Symbol.asyncDispose]()
  open.length = 0
  await Promise.all(
    sockets.map((socket) => socket.destroyed || new Promise((resolve) => socket.once('close', resolve))),
  )
})

test('more silent connections than there is room for keep no probe from its answer', async () => {
  const server = await start()
  const sockets = Array.from({ length: 1200 }, () => connect(server.port, '127.0.0.1').on('error', () => undefined))
  const settled = (socket: Socket) =>
    new Promise((resolve) => socket.once('connect', resolve).once('error', resolve).once('close', resolve))
  await Promise.all(sockets.map(settled))
  for (let i = 0; i < 20; i++) {
    expect((await fetch(`${server.url}/healthz`, { headers: { connection: 'close' } })).status).toBe(200)
  }
  for (const socket of sockets) socket.destroy()
})

/** The status of an answer to a request with that Host header; null: without one. */
function answerTo(where: { port: number } | { socketPath: string }, host: string | null): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({
      ...where,
      path: '/status',
      agent: false,
      setHost: false,
      ...(host && { headers: { host } }),
    })
    asked.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject)
    asked.end()
  })
}

test.each([
  ['evil.example', 421],
  ['localhost.evil.example:80', 421],
  ['localhost:8080', 200],
  ['127.0.0.1', 200],
  [null, 200],
])('on a loopback address a request with the Host header %s is answered with %d', async (host, code) => {
  const { port } = await start()
  expect(await answerTo({ port }, host)).toBe(code)
})

test('health on a Unix socket is for the user of the agent alone, whatever the umask', async () => {
  await using dir = await temporaryDirectory()
  const path = join(dir.path, 'health.sock')
  const umask = process.umask(0)
  try {
    open.push(await startHealthSocket({ ...source(), listen: listenPrivately, path }))
  } finally {
    process.umask(umask)
  }
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(await answerTo({ socketPath: path }, 'whatever.example')).toBe(200)
})

test('a socket that an earlier run left is replaced, and its own one removed; what is no socket stays', async () => {
  await using dir = await temporaryDirectory()
  const path = join(dir.path, 'health.sock')
  const earlier = await startHealthSocket({ ...source(), listen: listenPrivately, path })
  const next = await startHealthSocket({ ...source(), listen: listenPrivately, path })
  expect(await answerTo({ socketPath: path }, 'localhost')).toBe(200)
  await next[Symbol.asyncDispose]()
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined()
  await earlier[Symbol.asyncDispose]()
  await expect(startHealthSocket({ ...source(), listen: listenPrivately, path: dir.path })).rejects.toMatchObject({
    code: 'health.unavailable',
  })
  expect(statSync(dir.path).isDirectory()).toBe(true)
})

test('after it ends, the port is free', async () => {
  const server = await start()
  open.length = 0
  await server[Symbol.asyncDispose]()
  const again = createServer()
  await new Promise<void>((resolve, reject) => {
    again.once('error', reject)
    again.listen(server.port, '127.0.0.1', resolve)
  })
  await new Promise((resolve) => again.close(resolve))
})
