import type { RequestListener } from 'node:http'
import { Socket } from 'node:net'
import { queryObjects } from 'node:v8'
import { beforeAll, describe, expect, it } from 'vitest'
import { createHttpClient, type HttpClientOptions } from '../../../agent/platform/undici-http.js'
import type { HttpRequest } from '../../../agent/ports/http.js'
import type { TestCa } from '../../fakes/ca.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { httpServer, httpsServer, newCa, proxy } from '../support/https-server.js'
import { keeping } from '../support/kept.js'

let ca: TestCa
beforeAll(async () => {
  ca = await newCa('Server CA')
})

const keep = keeping()

const CONNECTIONS = 20

/** What a client is asked for, over and over; each time it takes a connection of its own. */
interface Way extends Pick<HttpRequest, 'url' | 'unixSocket'> {
  readonly client?: HttpClientOptions
}

const once: RequestListener = (_request, response) => void response.setHeader('connection', 'close').end('ok')
const names = [{ type: 'dns' as const, value: 'icp.test' }]
/** A port that was free a moment ago. */
const nobody = async () => {
  await using server = await httpServer(once)
  return server.port
}
const through = (address: string): HttpClientOptions => ({ proxy: () => ({ httpsProxy: address, noProxy: null }) })

/** Sockets of this process that are closed, and that something still holds on to. */
async function kept(way: Way, outcome: unknown): Promise<() => number> {
  const { client, ...target } = way
  const http = keep(createHttpClient({ tls: () => ({ ca: [ca.pem] }), roots: () => [], ...client }))
  const ask = () =>
    http.request({ method: 'GET', ...target, timeoutMs: 10_000, maxBytes: 1000 }).then(
      ({ status }) => status,
      ({ failure }) => failure,
    )
  // What the first connections load and keep for good is no affair of the later ones.
  for (let i = 0; i < 3; i++) expect(await ask()).toBe(outcome)
  const before = queryObjects(Socket, { format: 'count' })
  for (let i = 0; i < CONNECTIONS; i++) expect(await ask()).toBe(outcome)
  return () => queryObjects(Socket, { format: 'count' }) - before
}

describe('nothing of a client holds on to a connection that was closed', () => {
  it.each<[string, () => Promise<Way>]>([
    [
      'over a Unix socket',
      async () => {
        const unixSocket = keep(await TemporaryFiles.create()).path('engine.sock')
        keep(await httpServer(once, unixSocket))
        return { url: 'http://engine/', unixSocket }
      },
    ],
    ['over TLS', async () => ({ url: keep(await httpsServer(ca, once)).address })],
    [
      'through a proxy',
      async () => {
        const server = keep(await httpsServer(ca, once, { wish: { names } }))
        const forward = keep(await proxy(server.port))
        return { url: 'https://icp.test/', client: through(forward.address) }
      },
    ],
    [
      'through a proxy that speaks TLS itself',
      async () => {
        const server = keep(await httpsServer(ca, once, { wish: { names } }))
        const forward = keep(await proxy(server.port, () => true, ca))
        return { url: 'https://icp.test/', client: through(forward.address) }
      },
    ],
  ])('%s', async (_name, way) => {
    await expect.poll(await kept(await way(), 200)).toBeLessThan(3)
  })
})

describe('nothing of a client holds on to a connection that was refused', () => {
  it.each<[string, string, () => Promise<Way>]>([
    [
      'by a Unix socket without a server',
      'unreachable',
      async () => ({ url: 'http://engine/', unixSocket: keep(await TemporaryFiles.create()).path('none.sock') }),
    ],
    ['by a port without a server', 'unreachable', async () => ({ url: `https://127.0.0.1:${await nobody()}` })],
    [
      'by the client, since it does not trust the server',
      'tls',
      async () => ({
        url: keep(await httpsServer(ca, once)).address,
        client: { tls: () => ({ ca: [] }) },
      }),
    ],
    [
      'by a proxy',
      'unreachable',
      async () => ({ url: 'https://icp.test/', client: through(keep(await proxy(1, () => false)).address) }),
    ],
    [
      'by a port without a proxy',
      'unreachable',
      async () => ({ url: 'https://icp.test/', client: through(`http://127.0.0.1:${await nobody()}`) }),
    ],
  ])('%s', async (_name, code, way) => {
    await expect.poll(await kept(await way(), code)).toBeLessThan(3)
  })
})
