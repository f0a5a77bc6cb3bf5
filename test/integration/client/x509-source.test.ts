import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  AgentError,
  authorizeAny,
  authorizeMemberOf,
  authorizeOneOf,
  type MtlsOptions,
  pemFromDer,
  X509Source,
  type X509SourceOptions,
} from '../../../agent/client/index.js'
import { TestCa } from '../../fakes/ca.js'
import { FakeClock } from '../../fakes/clock.js'
import {
  HOUR,
  rootCa,
  type SentBundles,
  type SentSvid,
  sentSvid,
  x509SvidMessage,
} from '../../fakes/workload-messages.js'
import { until } from '../../support/until.js'
import { ScriptedApi } from '../support/scripted-api.js'

// OpenSSL reads the real clock.
const BEGIN = Date.now() - 60_000
const WEB = 'spiffe://one.example/web'
const API = 'spiffe://one.example/api'
let one: TestCa
let two: TestCa
beforeAll(async () => {
  one = await rootCa('one', BEGIN)
  two = await rootCa('two', BEGIN)
})

let clock: FakeClock
const open: (() => unknown)[] = []
beforeEach(() => {
  clock = new FakeClock(Date.now())
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** The Workload API of one process. */
async function agentOf(): Promise<ScriptedApi> {
  const api = await new ScriptedApi().start()
  open.push(() => api[Symbol.asyncDispose]())
  return api
}
async function source(api: ScriptedApi, options: X509SourceOptions = {}): Promise<X509Source> {
  const made = await X509Source.open({ address: api.address, clock, ...options })
  open.push(() => made.close())
  return made
}
const svidOf = (spiffeId: string, ca = one) => sentSvid(ca, spiffeId, { begin: BEGIN })
/** A source that holds these SVIDs, and what sends it others. */
async function holding(svids: readonly SentSvid[], federated: SentBundles = {}) {
  const api = await agentOf()
  api.script({ messages: [x509SvidMessage('spiffe', svids, federated)] })
  const made = await source(api)
  const send = async (next: readonly SentSvid[], nextFederated: SentBundles = {}) => {
    const before = made.svid.serial
    api.calls[0]?.call.write(Buffer.from(x509SvidMessage('spiffe', next, nextFederated)))
    await until(() => made.svid.serial !== before)
  }
  return { source: made, send }
}

/** Listens on loopback; what the server refuses is collected. */
async function listening<S extends tls.Server>(server: S): Promise<{ server: S; port: number; refused: Error[] }> {
  const refused: Error[] = []
  server.on('tlsClientError', (error: Error) => void refused.push(error))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(() => server.close())
  return { server, port: (server.address() as AddressInfo).port, refused }
}
/** A TLS server that says to each client who it is. */
const greeter = (of: X509Source, options: MtlsOptions) =>
  listening(
    of.createServer(
      (tlsOptions) => tls.createServer(tlsOptions, (socket) => socket.end(of.peerId(socket).uri)),
      options,
    ),
  )
/** What the server says; the error where there is no connection. */
async function say(port: number, options: tls.ConnectionOptions): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port, ...options })
  let said = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  let failure: Error | null = null
  socket.on('error', (error) => {
    failure = error
  })
  await once(socket, 'close')
  if (failure && said === '') throw failure
  return said
}
const get = (port: number, options: https.RequestOptions) =>
  new Promise<string>((resolve, reject) => {
    https
      .get({ host: '127.0.0.1', port, ...options }, (answer) => {
        let said = ''
        answer.setEncoding('utf8').on('data', (text: string) => {
          said += text
        })
        answer.on('end', () => resolve(said))
      })
      .on('error', reject)
  })
const pemOf = ({ chain }: SentSvid) => chain.map((der) => pemFromDer(der, 'CERTIFICATE')).join('')
const any = { authorize: authorizeAny() }

describe('a source', () => {
  test('opens once the agent has an identity for it', async () => {
    const api = await agentOf()
    const message = x509SvidMessage('spiffe', [await svidOf(WEB)])
    api.script({ end: { code: status.PERMISSION_DENIED, details: 'no identity' } }, { messages: [message] })
    const retries: string[] = []
    const opened = source(api, { onRetry: ({ error }) => void retries.push(error.code) })
    await until(() => retries.length === 1)
    await clock.advance('1s')
    expect((await opened).svid.spiffeId.uri).toBe(WEB)
    expect(retries).toEqual(['client.denied'])
  })

  test('that is not waited for any longer tells the last failure', async () => {
    const api = await agentOf()
    api.script({ end: { code: status.PERMISSION_DENIED, details: 'no identity' } })
    const stop = new AbortController()
    const opened = source(api, { signal: stop.signal, onRetry: () => stop.abort() })
    await expect(opened).rejects.toMatchObject({ code: 'client.denied' })
  })

  test('that is not waited for any longer, and had no failure, tells the reason', async () => {
    const api = await agentOf()
    const stop = new AbortController()
    const opened = source(api, { signal: stop.signal })
    await until(() => api.calls.length === 1)
    const reason = new Error('enough')
    stop.abort(reason)
    await expect(opened).rejects.toBe(reason)
  })

  test('is not opened where no agent will ever answer', async () => {
    const api = await agentOf()
    api.script({ end: { code: status.UNIMPLEMENTED, details: 'no such profile' } })
    await expect(source(api)).rejects.toMatchObject({ code: 'client.unimplemented' })
    await expect(X509Source.open({ address: 'http://x' })).rejects.toMatchObject({ code: 'client.address_invalid' })
  })

  test('keeps what it has, whatever the agent says later, and asks again', async () => {
    const api = await agentOf()
    const [before, after] = [await svidOf(WEB), await svidOf(WEB)]
    const retries: string[] = []
    api.script({ messages: [x509SvidMessage('spiffe', [before])] })
    const made = await source(api, { onRetry: ({ error }) => void retries.push(error.code) })
    const { serial } = made.svid
    api.script(
      { end: { code: status.UNIMPLEMENTED, details: 'another version' } },
      { messages: [x509SvidMessage('spiffe', [after])] },
    )
    api.calls[0]?.call.end()
    await until(() => retries.length === 1)
    await clock.advance('1s')
    await until(() => retries.length === 2)
    expect([retries, made.svid.serial]).toEqual([['client.unavailable', 'client.unimplemented'], serial])
    await clock.advance('30s')
    await until(() => made.svid.serial !== serial)
  })

  test('takes the identity that is picked, and waits for it', async () => {
    const api = await agentOf()
    const internal = await sentSvid(one, API, { begin: BEGIN, hint: 'internal' })
    const web = await svidOf(WEB)
    api.script({ messages: [[web], [web, internal], [web]].map((svids) => x509SvidMessage('spiffe', svids)) })
    const made = await source(api, { pick: (svids) => svids.find(({ hint }) => hint === 'internal') })
    expect([made.svid.spiffeId.uri, made.hint]).toEqual([API, 'internal'])
  })

  test('has the bundles of all trust domains, each by its name', async () => {
    const { source: made } = await holding([await svidOf(WEB)], { 'spiffe://two.example': [two.der] })
    expect([...made.bundles.keys()].sort()).toEqual(['one.example', 'two.example'])
  })

  test('tells of a change until it is told not to', async () => {
    const { source: made, send } = await holding([await svidOf(WEB)])
    const told: string[] = []
    const listening = made.onChange(() => void told.push(made.svid.spiffeId.uri))
    await send([await svidOf(API)])
    listening[Symbol.dispose]()
    await send([await svidOf(WEB)])
    expect(told).toEqual([API])
  })
})

describe('a server', () => {
  const kinds: [string, (tlsOptions: tls.TlsOptions, connected: () => void) => tls.Server][] = [
    ['of TLS', (tlsOptions, connected) => tls.createServer(tlsOptions, connected)],
    ['of HTTPS', (tlsOptions, connected) => https.createServer(tlsOptions).on('secureConnection', connected)],
    ['of HTTP/2', (tlsOptions, connected) => http2.createSecureServer(tlsOptions).on('secureConnection', connected)],
  ]
  describe.each(kinds)('%s', (_, make) => {
    test('sees no client but those that it admits', async () => {
      const { source: web } = await holding([await svidOf(WEB)], { 'spiffe://two.example': [two.der] })
      const { source: api } = await holding([await svidOf(API)], { 'spiffe://two.example': [two.der] })
      const { source: stranger } = await holding([await svidOf('spiffe://one.example/stranger')])
      const { source: foreign } = await holding([await svidOf('spiffe://two.example/api', two)], {
        'spiffe://one.example': [one.der],
      })
      // An authority of a federated trust domain makes itself a certificate of ours.
      const forged = await svidOf(API, two)
      let seen = 0
      const { port, refused } = await listening(
        web.createServer((tlsOptions) => make(tlsOptions, () => void seen++), { authorize: authorizeOneOf(API) }),
      )
      const trying = (options: tls.ConnectionOptions) => {
        const socket = tls.connect({ host: '127.0.0.1', port, ALPNProtocols: ['h2', 'http/1.1'], ...options })
        socket.on('error', () => socket.destroy())
        open.push(() => socket.destroy())
      }
      trying({ rejectUnauthorized: false })
      trying(stranger.clientOptions(any))
      trying(foreign.clientOptions(any))
      trying({
        cert: pemOf(forged),
        key: forged.key.export({ type: 'pkcs8', format: 'pem' }),
        rejectUnauthorized: false,
      })
      await until(() => refused.length === 4)
      expect(seen).toBe(0)
      expect(refused.every((error) => error instanceof AgentError && error.code === 'client.peer_refused')).toBe(true)
      expect(refused.map(({ message }) => message).sort()).toEqual([
        expect.stringMatching(/issuer is in no bundle/),
        expect.stringMatching(/the chain is empty/),
        expect.stringMatching(/one\.example\/stranger is not authorized/),
        expect.stringMatching(/two\.example\/api is not authorized/),
      ])
      trying(api.clientOptions(any))
      await until(() => seen === 1)
    })
  })

  test('takes a client with an intermediate, below an authority that is no root', async () => {
    const top = await TestCa.create('top', { notBefore: BEGIN, notAfter: BEGIN + HOUR }, one)
    const below = await TestCa.create('below', { notBefore: BEGIN, notAfter: BEGIN + HOUR }, top)
    const under = async (id: string) => {
      const svid = await svidOf(id, below)
      return { ...svid, chain: [...svid.chain, below.der], bundle: [top.der] }
    }
    const [web, api] = [await holding([await under(WEB)]), await holding([await under(API)])]
    const { port } = await greeter(web.source, { authorize: authorizeMemberOf('one.example') })
    expect(await say(port, api.source.clientOptions({ authorize: authorizeOneOf(WEB) }))).toBe(API)
  })

  test('shows and demands what the last message says, and takes up no old session', async () => {
    const web = await holding([await svidOf(WEB)])
    const api = await holding([await svidOf(API)])
    const { port, refused } = await greeter(web.source, any)
    expect(await say(port, api.source.clientOptions(any))).toBe(API)
    // Another authority altogether, for both.
    await web.send([await svidOf(WEB, two)])
    await expect(say(port, api.source.clientOptions(any))).rejects.toMatchObject({
      code: expect.stringMatching(/UNABLE_TO|SELF_SIGNED/),
    })
    await api.send([await svidOf(API, two)])
    expect(await say(port, api.source.clientOptions(any))).toBe(API)
    expect(refused.length).toBeLessThanOrEqual(1)
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('takes up no session of %s again', async (version) => {
    const { source: web } = await holding([await svidOf(WEB)])
    const { port } = await greeter(web, any)
    const connect = async (session?: Buffer) => {
      const mine = web.clientOptions({ ...any, tls: { maxVersion: version } })
      const socket = tls.connect({ host: '127.0.0.1', port, ...mine, ...(session && { session }) })
      const sessions: Buffer[] = []
      socket.on('session', (one: Buffer) => void sessions.push(one)).resume()
      await once(socket, 'secureConnect')
      const reused = socket.isSessionReused()
      await once(socket, 'close')
      return { sessions, reused }
    }
    const { sessions } = await connect()
    for (const session of sessions) expect((await connect(session)).reused).toBe(false)
    expect(sessions.length).toBeGreaterThan(0)
  })

  test.each<[string, MtlsOptions['authorize']]>([
    [
      'throws',
      () => {
        throw new Error('no database')
      },
    ],
    // biome-ignore lint/suspicious/noExplicitAny: what a program without types may hand over
    ['gives a promise', (async () => true) as any],
  ])('refuses everybody where authorize %s', async (_, authorize) => {
    const { source: web } = await holding([await svidOf(WEB)])
    const { port, refused } = await greeter(web, { authorize })
    await say(port, web.clientOptions(any)).catch(() => '')
    await until(() => refused.length === 1)
    expect(refused[0]).toMatchObject({ code: 'client.peer_refused' })
  })
})

describe('a client', () => {
  test('takes no other server than the one that it wants', async () => {
    const { source: web } = await holding([await svidOf(WEB)])
    const { port } = await greeter(web, any)
    await expect(say(port, web.clientOptions({ authorize: authorizeOneOf(API) }))).rejects.toMatchObject({
      code: 'client.peer_refused',
      message: `peer rejected: ${WEB} is not authorized`,
    })
    expect(await say(port, web.clientOptions({ authorize: authorizeOneOf(WEB) }))).toBe(WEB)
  })

  test('takes no server that another trust domain vouches for', async () => {
    const { source: api } = await holding([await svidOf(API)], { 'spiffe://two.example': [two.der] })
    const forged = await svidOf(WEB, two)
    const server = tls.createServer(
      {
        cert: pemOf(forged),
        key: forged.key.export({ type: 'pkcs8', format: 'pem' }),
      },
      (socket) => void socket.end(),
    )
    const { port } = await listening(server)
    await expect(say(port, api.clientOptions(any))).rejects.toMatchObject({ code: 'client.peer_refused' })
  })

  test('verifies, whatever the environment says', async () => {
    const { source: api } = await holding([await svidOf(API)])
    expect(api.clientOptions(any)).toMatchObject({ rejectUnauthorized: true })
  })

  test('never sends a request over a connection that was made for another peer', async () => {
    const { source: web } = await holding([await svidOf(WEB)])
    const { port } = await listening(
      web.createServer((tlsOptions) => https.createServer(tlsOptions, (_, answer) => void answer.end('here')), any),
    )
    const agent = new https.Agent({ keepAlive: true })
    open.push(() => agent.destroy())
    expect(await get(port, { agent, ...web.clientOptions({ authorize: authorizeOneOf(WEB) }) })).toBe('here')
    await expect(get(port, { agent, ...web.clientOptions({ authorize: authorizeOneOf(API) }) })).rejects.toMatchObject({
      code: 'client.peer_refused',
    })
  })
})

describe('an agent for HTTPS', () => {
  const whoServer = (of: X509Source) =>
    listening(
      of.createServer(
        (tlsOptions) => https.createServer(tlsOptions, ({ socket }, answer) => void answer.end(of.peerId(socket).uri)),
        any,
      ),
    )

  test('shows the SVID of the moment on each new connection', async () => {
    const web = await holding([await svidOf(WEB)])
    const api = await holding([await svidOf(API)])
    const { port } = await whoServer(web.source)
    const agent = api.source.httpsAgent({ authorize: authorizeOneOf(WEB) })
    open.push(() => agent.destroy())
    expect(await get(port, { agent })).toBe(API)
    await api.send([await svidOf('spiffe://one.example/renamed')])
    expect(await get(port, { agent })).toBe('spiffe://one.example/renamed')
  })

  test('refuses who is not wanted, also where the request asks for less', async () => {
    const web = await holding([await svidOf(WEB)])
    const { port } = await whoServer(web.source)
    const agent = web.source.httpsAgent({ authorize: authorizeOneOf(API) })
    open.push(() => agent.destroy())
    const lax = { rejectUnauthorized: false, checkServerIdentity: () => undefined }
    await expect(get(port, { agent, ...lax })).rejects.toMatchObject({ code: 'client.peer_refused' })
  })
})

describe('the SPIFFE ID of a peer', () => {
  test('is known on both sides of a connection', async () => {
    const { source: web } = await holding([await svidOf(WEB)])
    const { source: api } = await holding([await svidOf(API)])
    const { port } = await greeter(web, any)
    const socket = tls.connect({ host: '127.0.0.1', port, ...api.clientOptions(any) })
    await once(socket, 'secureConnect')
    expect(api.peerId(socket).uri).toBe(WEB)
    const [said] = await once(socket, 'data')
    expect(String(said)).toBe(API)
    socket.destroy()
  })
})
