import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ICP_SERVER } from '../../../agent/icp/transport.js'
import { createHttpClient, type HttpClientOptions } from '../../../agent/platform/undici-http.js'
import {
  type HttpClient,
  HttpError,
  type HttpRequest,
  type HttpStream,
  type HttpTls,
} from '../../../agent/ports/http.js'
import type { TestCa, Wish } from '../../fakes/ca.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { credentials, httpServer, httpsServer, type Listening, newCa, proxy } from '../support/https-server.js'
import { keeping } from '../support/kept.js'

let ca: TestCa
beforeAll(async () => {
  ca = await newCa('Server CA')
})

const keep = keeping()

const serve = async (answer: RequestListener, options = {}): Promise<Listening> =>
  keep(await httpsServer(ca, answer, options))
const clientWith = (options: HttpClientOptions = {}): HttpClient =>
  keep(createHttpClient({ tls: () => ({ ca: [ca.pem] }), roots: () => [], peer: ICP_SERVER, ...options }))
const get = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  url,
  timeoutMs: 10_000,
  maxBytes: 1_048_576,
  ...more,
})
const failure = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => new TypeError('it succeeded'),
    (thrown: unknown) => thrown,
  )
  return error instanceof HttpError ? `${error.failure}: ${error.message}` : error
}
/** A connection is free again a moment after its answer was read. */
const oneByOne = async (call: Promise<unknown>) => {
  await call
  await new Promise((resolve) => setTimeout(resolve, 10))
}
/** Says this to whoever connects, and hangs up. */
const talking = async (text: string): Promise<AsyncDisposable & { readonly address: string }> => {
  const server = createServer((socket) => socket.on('error', () => undefined).end(text, () => socket.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { address: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: close }
}
const ok: RequestListener = (_request, response) => void response.end('ok')
/** Who presents itself, or nobody. */
const whoami: RequestListener = (request, response) => {
  const { subject } = (request.socket as TLSSocket).getPeerCertificate()
  response.end(subject?.CN ?? 'nobody')
}

describe('the HTTP client', () => {
  it('sends method, headers and body, and gives status, headers and body back', async () => {
    const server = await serve((request, response) => {
      request.setEncoding('utf8')
      let body = ''
      request.on('data', (part: string) => {
        body += part
      })
      request.on('end', () => {
        response.writeHead(418, { 'X-Many': ['a', 'b'], 'Content-Type': 'text/plain' })
        response.end(`${request.method} ${request.url} ${request.headers['x-test']} ${body}`)
      })
    })
    const url = `${server.address}/path?query=1`
    const response = await clientWith().request(
      get(url, { method: 'POST', headers: { 'X-Test': 'yes' }, body: '{"a":1}' }),
    )
    expect(response.status).toBe(418)
    expect(response.headers).toMatchObject({ 'x-many': 'a, b', 'content-type': 'text/plain' })
    expect(response.body.toString()).toBe('POST /path?query=1 yes {"a":1}')
  })

  it('does not follow redirects: a redirect is an answer', async () => {
    const server = await serve((_request, response) => void response.writeHead(302, { location: '/other' }).end())
    const response = await clientWith().request(get(server.address))
    expect(response).toMatchObject({ status: 302, headers: { location: '/other' } })
  })

  it('keeps connections and takes a new one where the server closed the old', async () => {
    const connections: TLSSocket[] = []
    const server = await serve(ok)
    server.server.on('secureConnection', (socket: TLSSocket) => void connections.push(socket))
    const client = clientWith()
    for (let i = 0; i < 3; i++) await oneByOne(client.request(get(server.address)))
    expect(connections).toHaveLength(1)
    const closed = once(connections[0] ?? server.server, 'close')
    server.server.closeIdleConnections()
    await closed
    // The end is in the client's socket by now; whatever a timer is late, sockets are read before the second turn.
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect((await client.request(get(server.address))).body.toString()).toBe('ok')
    expect(connections).toHaveLength(2)
  })

  it('speaks to a Unix socket', async () => {
    const files = keep(await TemporaryFiles.create())
    const unixSocket = files.path('engine.sock')
    keep(
      await httpServer((request, response) => void response.end(`${request.headers.host} ${request.url}`), unixSocket),
    )
    const response = await clientWith().request(get('http://engine/v1/info', { unixSocket }))
    expect(response.body.toString()).toBe('engine /v1/info')
    expect(await failure(clientWith().request(get('http://engine/', { unixSocket: files.path('none') })))).toMatch(
      /^unreachable: unix:/,
    )
  })

  it('sends nothing in clear text to another machine', async () => {
    expect(await failure(clientWith().request(get('http://192.0.2.1/')))).toBeInstanceOf(TypeError)
  })
})

describe('a body', () => {
  it('is cut off where it grows beyond the cap, announced or not', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/announced') response.setHeader('content-length', '2000')
      response.write('x'.repeat(1000))
      response.end('x'.repeat(1000))
    })
    const client = clientWith()
    for (const path of ['/announced', '/chunked']) {
      expect(await failure(client.request(get(server.address + path, { maxBytes: 1999 })))).toMatch(/^too_large/)
      expect((await client.request(get(server.address + path, { maxBytes: 2000 }))).body).toHaveLength(2000)
    }
  })

  it('that announces itself as too large is not waited for', async () => {
    const server = await serve((_request, response) => {
      response.setHeader('content-length', '2000')
      response.write('x')
    })
    expect(await failure(clientWith().request(get(server.address, { maxBytes: 1999 })))).toMatch(/^too_large/)
  })

  it('that trickles in hits the deadline of the whole exchange', async () => {
    const server = await serve((_request, response) => {
      const drip = setInterval(() => response.write('x'), 20)
      response.on('close', () => clearInterval(drip))
    })
    // The drip never ends by itself.
    expect(await failure(clientWith().request(get(server.address, { timeoutMs: 300 })))).toMatch(/^timeout/)
  })

  it('that breaks off is an unreachable server, not an answer', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('half')
      setTimeout(() => response.socket?.destroy(), 20)
    })
    expect(await failure(clientWith().request(get(server.address)))).toMatch(/^unreachable/)
  })
})

describe('an exchange', () => {
  const silent: RequestListener = () => undefined

  it('ends at its deadline where the server says nothing', async () => {
    const server = await serve(silent)
    expect(await failure(clientWith().request(get(server.address, { timeoutMs: 100 })))).toMatch(/^timeout: https:/)
  })

  it("ends with the signal's reason, before, during and after the headers", async () => {
    const reason = new Error('stop')
    const server = await serve((_request, response) => void response.write('x'))
    const quiet = await serve(silent)
    const client = clientWith()
    expect(await failure(client.request(get(server.address, { signal: AbortSignal.abort(reason) })))).toBe(reason)
    for (const { address } of [server, quiet]) {
      const stop = new AbortController()
      const call = client.request(get(address, { signal: stop.signal }))
      setTimeout(() => stop.abort(reason), 50)
      expect(await failure(call)).toBe(reason)
    }
  })

  it('that nobody answers says so with the address', async () => {
    const server = await serve(ok)
    await server[Symbol.asyncDispose]()
    expect(await failure(clientWith().request(get(server.address)))).toMatch(
      new RegExp(`^unreachable: ${server.address}: the connection was refused`),
    )
  })

  it('with something that is no HTTP is a bad response', async () => {
    const server = await serve((_request, response) => void response.socket?.end('SSH-2.0-OpenSSH_9\r\n\r\n'))
    expect(await failure(clientWith().request(get(server.address)))).toMatch(/^not_http/)
  })
})

describe('a stream', () => {
  it('gives pieces as they come, beyond the deadline for its headers, until its signal aborts', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      let n = 0
      const tick = setInterval(() => response.write(`${n++}\n`), 30)
      response.on('close', () => clearInterval(tick))
    })
    const stop = new AbortController()
    const reason = new Error('enough')
    const client = clientWith()
    // A slow machine does not answer within the first of these.
    let timeoutMs = 100
    const open = async (): Promise<HttpStream> => {
      try {
        return await client.stream(get(server.address, { timeoutMs, signal: stop.signal }))
      } catch (error) {
        if (!(error instanceof HttpError) || error.failure !== 'timeout') throw error
        timeoutMs *= 2
        return await open()
      }
    }
    const stream = await open()
    const began = performance.now()
    expect(stream.status).toBe(200)
    let seen = ''
    const end = await failure(
      (async () => {
        for await (const piece of stream.body) {
          seen += piece.toString()
          if (seen.split('\n').length > 6 && performance.now() - began > 2 * timeoutMs) stop.abort(reason)
        }
      })(),
    )
    expect(end).toBe(reason)
    expect(seen.startsWith('0\n1\n2\n3\n4\n')).toBe(true)
  })

  it('that ends before anybody reads it harms nobody, and says why when it is read', async () => {
    const server = await serve((_request, response) => void response.write('x'))
    const stop = new AbortController()
    const reason = new Error('stop')
    const stream = await clientWith().stream(get(server.address, { signal: stop.signal }))
    stop.abort(reason)
    await new Promise((resolve) => setTimeout(resolve, 50))
    const read = async () => {
      for await (const piece of stream.body) expect(piece.toString()).toBe('x')
    }
    expect(await failure(read())).toBe(reason)
  })

  it('whose headers do not come in time is a timeout', async () => {
    const server = await serve(() => undefined)
    expect(await failure(clientWith().stream(get(server.address, { timeoutMs: 100 })))).toMatch(/^timeout/)
  })
})

describe('TLS', () => {
  it.each<[string, Partial<Wish>, RegExp]>([
    ['another host name', { names: [{ type: 'dns', value: 'other.example' }] }, /host name/],
    ['a certificate that has expired', { notAfter: Date.now() - 1000 }, /expired/],
    ['a certificate that is not valid yet', { notBefore: Date.now() + 3_000_000 }, /not valid yet/],
  ])('with %s is refused with advice', async (_name, wish, advice) => {
    const server = await serve(ok, { wish })
    const said = await failure(clientWith().request(get(server.address)))
    expect(said).toMatch(/^tls/)
    expect(said).toMatch(advice)
  })

  it('with an unknown authority names the setting that adds one', async () => {
    const server = await serve(ok)
    const strangers = clientWith({ tls: () => ({ ca: [] }), roots: () => [] })
    expect(await failure(strangers.request(get(server.address)))).toMatch(/^tls: .*trust_bundle_path/)
    // The system's roots alone do not know it either.
    const system = keep(createHttpClient({ peer: ICP_SERVER }))
    expect(await failure(system.request(get(server.address)))).toMatch(/^tls: .*trust_bundle_path/)
    const both = keep(createHttpClient({ tls: () => ({ ca: [ca.pem] }) }))
    expect((await both.request(get(server.address))).status).toBe(200)
  })

  it('on a port that speaks none says so', async () => {
    const plain = keep(await httpServer(ok))
    const url = plain.address.replace('http:', 'https:')
    expect(await failure(clientWith().request(get(url)))).toMatch(/^tls: .*does not speak TLS/)
  })

  it('below version 1.2 is refused', async () => {
    const server = await serve(ok, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' })
    expect(await failure(clientWith().request(get(server.address)))).toMatch(/^tls/)
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('that demands a client certificate says so (%s)', async (version) => {
    const demands = {
      requestCert: true,
      rejectUnauthorized: true,
      ca: ca.pem,
      minVersion: version,
      maxVersion: version,
    }
    const server = await serve(ok, demands)
    expect(await failure(clientWith().request(get(server.address)))).toMatch(/^tls: .*client certificate/)
  })

  it('that demands a client certificate says so through a proxy as well', async () => {
    const names = [{ type: 'dns' as const, value: 'icp.test' }]
    const server = await serve(ok, { wish: { names }, requestCert: true, rejectUnauthorized: true, ca: ca.pem })
    const forward = keep(await proxy(server.port))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: null }) })
    expect(await failure(client.request(get('https://icp.test/')))).toMatch(/^tls: .*client certificate/)
  })
})

describe('with NODE_TLS_REJECT_UNAUTHORIZED=0', () => {
  const variable = 'NODE_TLS_REJECT_UNAUTHORIZED'
  let before: string | undefined
  beforeEach(() => {
    before = process.env[variable]
    process.env[variable] = '0'
  })
  afterEach(() => {
    if (before === undefined) delete process.env[variable]
    else process.env[variable] = before
  })
  const named = { wish: { names: [{ type: 'dns' as const, value: 'icp.test' }] } }

  it('a server must prove who it is', async () => {
    const server = await serve(ok)
    const strangers = clientWith({ tls: () => ({ ca: [] }) })
    expect(await failure(strangers.request(get(server.address)))).toMatch(/^tls/)
    expect((await clientWith().request(get(server.address))).status).toBe(200)
  })

  it('a server behind a proxy must prove who it is', async () => {
    const server = await serve(ok, named)
    const forward = keep(await proxy(server.port))
    const through = { proxy: () => ({ httpsProxy: forward.address, noProxy: null }) }
    const strangers = clientWith({ ...through, tls: () => ({ ca: [] }) })
    expect(await failure(strangers.request(get('https://icp.test/')))).toMatch(/^tls/)
    expect((await clientWith(through).request(get('https://icp.test/'))).status).toBe(200)
  })

  it('a proxy that speaks TLS must prove who it is', async () => {
    const server = await serve(ok, named)
    const forward = keep(await proxy(server.port, () => true, await newCa('Other CA')))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: null }) })
    expect(await failure(client.request(get('https://icp.test/')))).toMatch(/^tls/)
  })
})

describe('the client certificate', () => {
  const mutual = async (answer: RequestListener) => {
    const clients = await newCa('Client CA')
    const server = await serve(answer, { requestCert: true, rejectUnauthorized: false, ca: clients.pem })
    const identity = (subject: string) => credentials(clients, { subject })
    return { server, identity }
  }

  it('is presented as it is at the moment, and not where it is not wanted', async () => {
    const { server, identity } = await mutual(whoami)
    let tls: HttpTls = { ca: [ca.pem] }
    const client = clientWith({ tls: () => tls })
    const who = async (more = {}) => (await client.request(get(server.address, more))).body.toString()
    expect(await who()).toBe('nobody')
    tls = { ca: [ca.pem], identity: await identity('first') }
    expect(await who()).toBe('first')
    expect(await who({ withoutIdentity: true })).toBe('nobody')
    tls = { ca: [ca.pem], identity: await identity('second') }
    expect(await who()).toBe('second')
  })

  it('may be one of two, each on connections of its own, until one is presented no more', async () => {
    const { server, identity } = await mutual(whoami)
    const sockets = new Set<TLSSocket>()
    server.server.on('secureConnection', (socket: TLSSocket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    const [first, second] = [await identity('first'), await identity('second')]
    let tls: HttpTls = { ca: [ca.pem], identity: first, other: second }
    const client = clientWith({ tls: () => tls })
    const who = async (more = {}) => (await client.request(get(server.address, more))).body.toString()
    expect([await who(), await who({ otherIdentity: true }), await who({ withoutIdentity: true })]).toEqual([
      'first',
      'second',
      'nobody',
    ])
    // The one that was accepted last comes first: nothing is connected anew.
    tls = { ca: [ca.pem], identity: second, other: first }
    expect([await who(), await who({ otherIdentity: true }), sockets.size]).toEqual(['second', 'first', 3])
    tls = { ca: [ca.pem], identity: second }
    expect([await who(), await who({ otherIdentity: true })]).toEqual(['second', 'second'])
    while (sockets.size > 2) await new Promise((resolve) => setTimeout(resolve, 5))
  })

  it('changes under requests in flight without losing one', async () => {
    const waiting: (() => void)[] = []
    const { server, identity } = await mutual((request, response) => {
      waiting.push(() => whoami(request, response))
    })
    let tls: HttpTls = { ca: [ca.pem], identity: await identity('first') }
    const client = clientWith({ tls: () => tls })
    const send = (n: number) =>
      Array.from({ length: n }, () => client.request(get(server.address)).then(({ body }) => body.toString()))
    const arrived = async (n: number) => {
      while (waiting.length < n) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const before = send(12)
    await arrived(12)
    tls = { ca: [ca.pem], identity: await identity('second') }
    const after = send(8)
    await arrived(20)
    for (const release of waiting) release()
    expect(await Promise.all(before)).toEqual(Array(12).fill('first'))
    expect(await Promise.all(after)).toEqual(Array(8).fill('second'))
  })

  it('keeps its connections while settings of equal content come and go', async () => {
    const { server, identity } = await mutual(ok)
    let connections = 0
    server.server.on('secureConnection', () => void connections++)
    const own = await identity('first')
    const client = clientWith({ tls: () => ({ ca: [`${ca.pem}`], identity: { ...own } }) })
    for (let i = 0; i < 3; i++) await oneByOne(client.request(get(server.address)))
    expect(connections).toBe(1)
  })
})

describe('a proxy', () => {
  const named = { wish: { names: [{ type: 'dns' as const, value: 'icp.test' }] } }

  it('is used for a server elsewhere, which still sees the client certificate', async () => {
    const clients = await newCa('Client CA')
    const server = await serve(whoami, { ...named, requestCert: true, rejectUnauthorized: false, ca: clients.pem })
    const forward = keep(await proxy(server.port))
    const identity = await credentials(clients, { subject: 'agent' })
    const client = clientWith({
      tls: () => ({ ca: [ca.pem], identity }),
      proxy: () => ({ httpsProxy: forward.address, noProxy: null }),
    })
    expect((await client.request(get('https://icp.test/'))).body.toString()).toBe('agent')
    expect(forward.asked).toEqual(['icp.test:443'])
  })

  it('may speak TLS itself, and be named by its address', async () => {
    const server = await serve(ok, named)
    const forward = keep(await proxy(server.port, () => true, ca))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: null }) })
    expect((await client.request(get('https://icp.test/'))).body.toString()).toBe('ok')
    expect(forward.asked).toEqual(['icp.test:443'])
  })

  it('that speaks TLS must prove who it is', async () => {
    const server = await serve(ok, named)
    const forward = keep(await proxy(server.port, () => true, await newCa('Other CA')))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: null }) })
    expect(await failure(client.request(get('https://icp.test/')))).toMatch(/^tls/)
    expect(forward.asked).toEqual([])
  })

  it('is not used for this machine', async () => {
    const server = await serve(ok)
    const forward = keep(await proxy(server.port))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: null }) })
    expect((await client.request(get(server.address))).status).toBe(200)
    expect(forward.asked).toEqual([])
  })

  it.each(['icp.test', '.test', '*.test', 'other.example, icp.test', 'icp.test:443', '*', 'a,*'])(
    'is not used where NO_PROXY is %s',
    async (noProxy) => {
      const forward = keep(await proxy(1))
      const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy }) })
      expect(await failure(client.request(get('https://icp.test/', { timeoutMs: 3000 })))).toMatch(
        /^(unreachable|timeout)/,
      )
      expect(forward.asked).toEqual([])
    },
  )

  it.each<[string, () => Promise<string>, RegExp]>([
    ['is down', async () => 'http://127.0.0.1:1', /^unreachable: .*: the connection was refused: is the proxy running/],
    ['has no address', async () => 'http://proxy.invalid:3128', /^unreachable: .*: its host name/],
    ['speaks no HTTP', async () => keep(await talking('SSH-2.0\r\n\r\n')).address, /^not_http: /],
    ['hangs up', async () => keep(await talking('')).address, /^unreachable: /],
    [
      'speaks no TLS',
      async () => keep(await proxy(1)).address.replace('http:', 'https:'),
      /^tls: .*: it does not speak TLS/,
    ],
    [
      'nobody vouches for',
      async () => keep(await proxy(1, () => true, await newCa('Other CA'))).address,
      /^tls: .*: its certificate comes from an authority/,
    ],
    [
      'wants credentials',
      async () => keep(await proxy(1, () => false)).address,
      /^unreachable: .*\(407\): set HTTPS_PROXY to/,
    ],
  ])('that %s is named, and not the server', async (_how, address, said) => {
    const url = (await address()).replace('//', '//user:hunter22@')
    const client = clientWith({ proxy: () => ({ httpsProxy: url, noProxy: null }) })
    const message = await failure(client.request(get('https://icp.test/')))
    expect(message).toMatch(said)
    expect(message).toContain(`https://icp.test: the proxy ${new URL(url).origin} of HTTPS_PROXY failed: `)
    expect(message).toContain('NO_PROXY exempts the server')
    expect(message).not.toMatch(/hunter22|the server running|icp_service\.address/)
  })

  it('is named beside a server that fails behind it', async () => {
    const server = await serve(ok, { wish: { names: [{ type: 'dns', value: 'other.test' }] } })
    const forward = keep(await proxy(server.port))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: null }) })
    const message = await failure(client.request(get('https://icp.test/')))
    expect(message).toMatch(/^tls: https:\/\/icp\.test: its certificate is for another host name/)
    expect(message).toMatch(new RegExp(`through the proxy ${forward.address}\\)$`))
  })

  it('is decided on for each request: one server is exempt, another is not', async () => {
    const names = [
      { type: 'dns' as const, value: 'icp.test' },
      { type: 'ip' as const, value: '127.0.0.1' },
    ]
    const server = await serve(ok, { wish: { names } })
    const forward = keep(await proxy(server.port))
    const client = clientWith({ proxy: () => ({ httpsProxy: forward.address, noProxy: '10.0.0.0/8,fd88::/16' }) })
    expect((await client.request(get(server.address))).status).toBe(200)
    expect((await client.request(get('https://icp.test/'))).status).toBe(200)
    expect((await client.request(get(server.address))).status).toBe(200)
    expect(forward.asked).toEqual(['icp.test:443'])
  })

  it('that refuses is named, its password is not', async () => {
    const forward = keep(await proxy(1, () => false))
    const address = forward.address.replace('//', '//user:hunter22@')
    const client = clientWith({ proxy: () => ({ httpsProxy: address, noProxy: null }) })
    const said = await failure(client.request(get('https://icp.test/')))
    expect(said).toMatch(/^unreachable: .*proxy/)
    expect(said).not.toContain('hunter22')
  })
})
