import { getEventListeners } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { DialectName } from '../../../agent/client/dialect-name.js'
import type { Retry } from '../../../agent/client/watch.js'
import { WorkloadApiClient } from '../../../agent/client/workload-api-client.js'
import type { TestCa } from '../../fakes/ca.js'
import { FakeClock } from '../../fakes/clock.js'
import { BEGIN, rootCa, sentSvid, x509BundlesMessage, x509SvidMessage } from '../../fakes/workload-messages.js'
import { until } from '../../support/until.js'
import { ScriptedApi } from '../support/scripted-api.js'
import { TemporaryDirectory } from '../support/sockets.js'

const A = 'spiffe://one.example/a'
let ca: TestCa
let api: ScriptedApi
let clock: FakeClock
const retries: Retry[] = []

beforeAll(async () => {
  ca = await rootCa()
})
beforeEach(async () => {
  api = await new ScriptedApi().start()
  clock = new FakeClock(BEGIN + 1000)
  retries.length = 0
})
afterEach(() => api[Symbol.asyncDispose]())

const never = () => new AbortController().signal
const connect = (dialect: DialectName = 'spiffe') =>
  WorkloadApiClient.connect({ address: api.address, dialect, clock, onRetry: (retry) => void retries.push(retry) })
const message = async (path = '/a', dialect: DialectName = 'spiffe') =>
  x509SvidMessage(dialect, [await sentSvid(ca, `spiffe://one.example${path}`)])

/** What listens at a socket, and how often it was connected to. */
async function listening(server: Server) {
  const dir = new TemporaryDirectory()
  let connections = 0
  const sockets: Socket[] = []
  server.on('connection', (socket) => {
    connections++
    sockets.push(socket)
  })
  await new Promise<void>((resolve) => server.listen(dir.file('agent.sock'), resolve))
  return {
    address: `unix://${dir.file('agent.sock')}`,
    connected: () => connections > 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      dir[Symbol.dispose]()
    },
  }
}

describe('a server that is no agent', () => {
  test('one that speaks HTTP/1 is named as such', async () => {
    await using http = await listening(createHttpServer((_, response) => response.end('hello')))
    using client = WorkloadApiClient.connect({ address: http.address, clock })
    await expect(client.fetchX509Svid(never())).rejects.toMatchObject({
      code: 'client.unreachable',
      message: expect.stringContaining('does not speak gRPC'),
    })
  })

  test('one that accepts and says nothing is given up after 30 s, by calls and by each try of a watch', async () => {
    await using silent = await listening(createServer())
    using client = WorkloadApiClient.connect({
      address: silent.address,
      clock,
      onRetry: (retry) => void retries.push(retry),
    })
    const stop = new AbortController()
    const over = Promise.all([
      expect(client.fetchX509Svid(never())).rejects.toMatchObject({
        code: 'client.unreachable',
        message: expect.stringContaining('has said nothing for 30 s'),
      }),
      expect(client.fetchJwtSvids({ audience: ['a'] }, never())).rejects.toMatchObject({ code: 'client.unreachable' }),
    ])
    const watching = client.watchX509Bundles(stop.signal).next()
    await until(silent.connected)
    await clock.advance('30s')
    await over
    await until(() => retries.length === 1)
    await clock.advance('31s')
    await until(() => retries.length === 2)
    expect(retries.map(({ error }) => error.code)).toEqual(['client.unreachable', 'client.unreachable'])
    stop.abort()
    expect(await watching).toMatchObject({ done: true })
  })

  test('an agent that holds a call is none of them', async () => {
    api.script({})
    using client = connect()
    const stop = new AbortController()
    const watching = client.watchX509Bundles(stop.signal).next()
    await until(() => api.calls.length === 1)
    await clock.advance('1h')
    stop.abort()
    expect(await watching).toMatchObject({ done: true })
    expect(retries).toEqual([])
  })
})

describe('a fetch', () => {
  test.each([
    ['spiffe', '/SpiffeWorkloadAPI/FetchX509SVID', ['true']],
    ['authsec', '/spiffe.workload.SpiffeWorkloadAPI/FetchX509SVID', []],
  ] as const)('of the %s dialect names its service and sends its metadata', async (dialect, path, header) => {
    api.script({ messages: [await message('/a', dialect)] })
    using client = connect(dialect)
    const { svids } = await client.fetchX509Svid(never())
    expect(svids[0].svid.spiffeId.uri).toBe(A)
    expect(api.calls.map((call) => call.path)).toEqual([path])
    expect(api.calls[0]?.metadata.get('workload.spiffe.io')).toEqual(header)
  })

  test('ends its call once it has its message', async () => {
    api.script({ messages: [await message()] })
    using client = connect()
    await client.fetchX509Svid(never())
    await until(() => api.calls[0]?.call.cancelled === true)
  })

  test('of bundles gives every trust domain', async () => {
    api.script({ messages: [x509BundlesMessage('spiffe', { 'spiffe://one.example': [ca.der] })] })
    using client = connect()
    expect([...(await client.fetchX509Bundles(never())).keys()]).toEqual(['one.example'])
  })

  test('that the agent ends without a message is Unavailable', async () => {
    api.script({ end: 'ok' })
    using client = connect()
    await expect(client.fetchX509Svid(never())).rejects.toMatchObject({ code: 'client.unavailable' })
  })

  test('that is answered with garbage is a bad answer', async () => {
    api.script({ messages: [Buffer.from('garbage')] })
    using client = connect()
    await expect(client.fetchX509Svid(never())).rejects.toMatchObject({ code: 'client.bad_response' })
  })

  test('that is denied tells the denial id', async () => {
    api.script({ end: { code: status.PERMISSION_DENIED, details: 'no identity (denial 00ff; …)' } })
    using client = connect()
    await expect(client.fetchX509Svid(never())).rejects.toMatchObject({
      code: 'client.denied',
      details: { denialId: '00ff' },
    })
  })

  test('that is aborted rejects with the reason and leaves no listener behind', async () => {
    using client = connect()
    const stop = new AbortController()
    const fetched = client.fetchX509Svid(stop.signal)
    await until(() => api.calls.length === 1)
    const reason = new Error('enough')
    stop.abort(reason)
    await expect(fetched).rejects.toBe(reason)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    await expect(client.fetchX509Svid(stop.signal)).rejects.toBe(reason)
  })

  test('without an agent is unreachable', async () => {
    api.stop()
    using client = connect()
    await expect(client.fetchX509Svid(never())).rejects.toMatchObject({
      code: 'client.unreachable',
      details: { errno: expect.stringMatching(/ENOENT|ECONNREFUSED/) },
    })
  })
})

describe('a watch', () => {
  test('gives each message, and goes on after the agent was restarted', async () => {
    api.script({ messages: [await message('/a'), await message('/b')] })
    using client = connect()
    const stop = new AbortController()
    const seen: string[] = []
    const done = (async () => {
      for await (const { svids } of client.watchX509Svids(stop.signal)) seen.push(svids[0].svid.spiffeId.path)
    })()
    await until(() => seen.length === 2)
    api.stop()
    await until(() => retries.length === 1)
    expect(retries[0]?.error.code).toMatch(/^client\.(unavailable|unreachable)$/)
    await api.start()
    api.script({ messages: [await message('/c')] })
    // The client's own attempts to connect wait in real time; ours do not.
    const hurry = async () => {
      while (seen.length < 3) {
        await clock.advance('1s')
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    await hurry()
    expect(seen).toEqual(['/a', '/b', '/c'])
    stop.abort()
    await done
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })

  test('keeps what it has when a message is wrong, and asks again', async () => {
    api.script({ messages: [await message('/a'), Buffer.from('garbage')] }, { messages: [await message('/b')] })
    using client = connect()
    const stop = new AbortController()
    const seen: string[] = []
    const done = (async () => {
      for await (const { svids } of client.watchX509Svids(stop.signal)) seen.push(svids[0].svid.spiffeId.path)
    })()
    await until(() => retries.length === 1)
    expect(retries[0]?.error.code).toBe('client.bad_response')
    await clock.advance('1s')
    await until(() => seen.length === 2)
    stop.abort()
    await done
    expect(seen).toEqual(['/a', '/b'])
  })

  test('ends for good at InvalidArgument', async () => {
    api.script({ end: { code: status.INVALID_ARGUMENT, details: 'no header' } })
    using client = connect()
    const watching = client.watchX509Svids(never()).next()
    await expect(watching).rejects.toMatchObject({ code: 'request.invalid' })
  })
})
