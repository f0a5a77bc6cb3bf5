import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer, type ServerOptions } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { pemFromDer } from '../../../agent/crypto/pem.js'
import { TestCa, type Wish } from '../../fakes/ca.js'

const HOUR = 3_600_000

export interface Credentials {
  readonly certificate: string
  readonly key: string
}

export function newCa(name: string): Promise<TestCa> {
  return TestCa.create(name, { notBefore: Date.now() - HOUR, notAfter: Date.now() + HOUR })
}

/** A certificate and key in PEM. */
export async function credentials(ca: TestCa, wish: Partial<Wish>): Promise<Credentials> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const times = { notBefore: Date.now() - HOUR, notAfter: Date.now() + HOUR }
  const der = await ca.issue(createPublicKey(privateKey), { ...times, ...wish })
  return { certificate: pemFromDer(der, 'CERTIFICATE'), key: pkcs8Pem(privateKey) }
}

export interface Listening extends AsyncDisposable {
  readonly port: number
  readonly address: string
  readonly server: Server
}

/** An HTTPS server on a free port of 127.0.0.1. */
export async function httpsServer(
  ca: TestCa,
  answer: RequestListener,
  options: { wish?: Partial<Wish> } & ServerOptions = {},
): Promise<Listening> {
  const { wish, ...rest } = options
  const names = [{ type: 'ip' as const, value: '127.0.0.1' }]
  const { certificate, key } = await credentials(ca, { names, subject: 'server', ...wish })
  return await listening(createServer({ cert: certificate, key, ...rest }, answer), 'https')
}

/** A plain HTTP server on a free port, or on a Unix socket. */
export function httpServer(answer: RequestListener, socketPath?: string): Promise<Listening> {
  return listening(createHttpServer(answer), 'http', socketPath)
}

/**
 * A forwarding proxy: whatever host is asked for, it connects to the given port of this machine. With an authority it
 * speaks TLS itself.
 */
export async function proxy(
  port: number,
  allow: (request: IncomingMessage) => boolean = () => true,
  ca: TestCa | null = null,
): Promise<Listening & { readonly asked: string[] }> {
  const asked: string[] = []
  const names = [{ type: 'ip' as const, value: '127.0.0.1' }]
  const own = ca && (await credentials(ca, { names, subject: 'proxy' }))
  const server = own ? createServer({ cert: own.certificate, key: own.key }) : createHttpServer()
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    asked.push(String(request.url))
    if (!allow(request)) return void client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    const upstream = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.pipe(client).pipe(upstream)
    })
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy())
  })
  const open = await listening(server, own ? 'https' : 'http')
  return { ...open, asked }
}

/** Listens on a free port of 127.0.0.1, or on a Unix socket; whoever still holds a connection is cut off at the end. */
export async function listening(server: Server, scheme: string, socketPath?: string): Promise<Listening> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    if (socketPath === undefined) server.listen(0, '127.0.0.1', resolve)
    else server.listen(socketPath, resolve)
  })
  const port = socketPath === undefined ? (server.address() as AddressInfo).port : 0
  return {
    port,
    address: `${scheme}://127.0.0.1:${port}`,
    server,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
