import { getEventListeners } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { createHttpClient } from '../../../agent/platform/undici-http.js'
import { type HttpClient, HttpError, type HttpRequest } from '../../../agent/ports/http.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { httpServer, newCa, proxy } from '../support/https-server.js'
import { keeping } from '../support/kept.js'

const keep = keeping()

/** Longer than any test may take: whoever waits for it fails. */
const NEVER_MS = 3_600_000

const get = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url,
  timeoutMs: NEVER_MS,
  maxBytes: 1000,
  ...more,
})
const client = (): HttpClient => keep(createHttpClient({ roots: () => [], connectTimeoutMs: NEVER_MS }))

/** A server that accepts connections and never says a word, so that no TLS handshake gets any further. */
async function muteServer() {
  const sockets: Socket[] = []
  const server = createServer((socket) => void sockets.push(socket.on('error', () => undefined).resume()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return keep({
    port,
    address: `https://127.0.0.1:${port}`,
    accepted: (n: number) => expect.poll(() => sockets.length).toBe(n),
    get open() {
      return sockets.filter((socket) => !socket.closed).length
    },
    hangUp: () => {
      for (const socket of sockets) socket.destroy()
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  })
}

/** What happens, in the order in which it does. */
function story() {
  const happened: unknown[] = []
  return {
    happened,
    ends: (call: Promise<unknown>) =>
      call.then(
        () => void happened.push('an answer'),
        (error: unknown) => void happened.push(error instanceof HttpError ? error.failure : error),
      ),
  }
}

const ASKS = [
  ['request', (http: HttpClient, request: HttpRequest) => http.request(request)],
  ['stream', (http: HttpClient, request: HttpRequest) => http.stream(request)],
] as const

describe.each(ASKS)('while a connection is being made, a %s', (_name, ask) => {
  const reason = new Error('stop')

  it('ends with the reason of its signal at once, whenever the server gives up', async () => {
    const server = await muteServer()
    const { happened, ends } = story()
    const stop = new AbortController()
    const call = ends(ask(client(), get(server.address, { signal: stop.signal })))
    await server.accepted(1)
    stop.abort(reason)
    await new Promise((resolve) => setImmediate(resolve))
    happened.push('the server hangs up')
    server.hangUp()
    await call
    expect(happened).toEqual([reason, 'the server hangs up'])
  })

  it('ends at its deadline, although the server never gives up', async () => {
    const server = await muteServer()
    const { happened, ends } = story()
    await ends(ask(client(), get(server.address, { timeoutMs: 100 })))
    expect(happened).toEqual(['timeout'])
  })

  it('leaves no listener behind, however it ends', async () => {
    const server = await muteServer()
    const { happened, ends } = story()
    const http = client()
    const stop = new AbortController()
    const late = ends(ask(http, get(server.address, { signal: stop.signal, timeoutMs: 50 })))
    await late
    const aborted = ends(ask(http, get(server.address, { signal: stop.signal })))
    stop.abort(reason)
    await aborted
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    // What became of the connection reaches nobody any more.
    server.hangUp()
    await expect.poll(() => server.open).toBe(0)
    expect(happened).toEqual(['timeout', reason])
  })

  it('that waits for a free connection ends in its own time, not in that of those before it', async () => {
    const files = keep(await TemporaryFiles.create())
    const unixSocket = files.path('engine.sock')
    let arrived = 0
    keep(await httpServer(() => void arrived++, unixSocket))
    const http = client()
    const before = story()
    const hung = Array.from({ length: 16 }, () => new AbortController())
    const first = hung.map(({ signal }) => before.ends(http.request(get('http://engine/', { unixSocket, signal }))))
    const freeAll = () => {
      for (const one of hung) one.abort(reason)
    }
    await expect.poll(() => arrived).toBe(16)

    const { happened, ends } = story()
    const stop = new AbortController()
    const aborted = ends(ask(http, get('http://engine/', { unixSocket, signal: stop.signal })))
    stop.abort(reason)
    await aborted
    await ends(ask(http, get('http://engine/', { unixSocket, timeoutMs: 100 })))
    expect(happened).toEqual([reason, 'timeout'])
    expect(before.happened).toEqual([])
    freeAll()
    await Promise.all(first)
  })
})

it('a proxy that never answers holds no connection for longer than a server may that never does', async () => {
  const mute = await muteServer()
  const { happened, ends } = story()
  const httpsProxy = `http://127.0.0.1:${mute.port}`
  const http = keep(
    createHttpClient({ roots: () => [], proxy: () => ({ httpsProxy, noProxy: null }), connectTimeoutMs: 200 }),
  )
  await ends(http.request(get('https://icp.test/', { timeoutMs: 50 })))
  expect(happened).toEqual(['timeout'])
  await mute.accepted(1)
  await expect.poll(() => mute.open).toBe(0)
  await expect(http.request(get('https://icp.test/'))).rejects.toMatchObject({
    failure: 'unreachable',
    message: expect.stringMatching(/the proxy http:.* failed: it does not answer/),
  })
})

describe('a client that is closed', () => {
  it('gives up the connections that it is making', async () => {
    const server = await muteServer()
    const { happened, ends } = story()
    const warned: string[] = []
    const warn = ({ message }: Error) => void warned.push(message)
    process.on('warning', warn)
    const http = client()
    const calls = Array.from({ length: 12 }, () => ends(http.request(get(server.address))))
    await server.accepted(12)
    await http[Symbol.asyncDispose]()
    await Promise.all(calls)
    process.off('warning', warn)
    expect(happened).toEqual(Array(12).fill('unreachable'))
    expect(warned).toEqual([])
    await expect.poll(() => server.open).toBe(0)
  })

  it.each(['http', 'https'])('gives up those through a proxy as well (%s)', async (scheme) => {
    const server = await muteServer()
    const ca = await newCa('Proxy CA')
    const forward = keep(await proxy(server.port, () => true, scheme === 'https' ? ca : null))
    const { happened, ends } = story()
    const through = () => ({ httpsProxy: forward.address, noProxy: null })
    const http = keep(createHttpClient({ roots: () => [ca.pem], proxy: through, connectTimeoutMs: NEVER_MS }))
    const call = ends(http.request(get('https://icp.test/')))
    await server.accepted(1)
    await http[Symbol.asyncDispose]()
    await call
    expect(happened).toEqual(['unreachable'])
    await expect.poll(() => server.open).toBe(0)
  })

  it.each(['http', 'https'])('gives up those to a proxy that never answers (%s)', async (scheme) => {
    const mute = await muteServer()
    const { happened, ends } = story()
    const httpsProxy = `${scheme}://127.0.0.1:${mute.port}`
    const through = () => ({ httpsProxy, noProxy: null })
    const http = keep(createHttpClient({ roots: () => [], proxy: through, connectTimeoutMs: NEVER_MS }))
    const call = ends(http.request(get('https://icp.test/')))
    await mute.accepted(1)
    await http[Symbol.asyncDispose]()
    await call
    expect(happened).toEqual(['unreachable'])
    await expect.poll(() => mute.open).toBe(0)
  })

  it('asks nobody any more', async () => {
    const server = await muteServer()
    const { happened, ends } = story()
    const http = client()
    await http[Symbol.asyncDispose]()
    await ends(http.request(get(server.address)))
    expect(happened).toEqual(['unreachable'])
    await server.accepted(0)
  })
})
