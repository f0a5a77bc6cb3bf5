import type { X509Certificate } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { AgentError } from '../../agent/errors.js'
import { listenFault } from '../../agent/lib/listen-fault.js'
import { dispatch, type Incoming } from './dispatch.js'
import type { Services } from './exchange.js'
import type { ListenAddress } from './options.js'
import { send } from './send.js'
import type { ServerIdentity } from './server-identity.js'

export const BASE_PATH = '/spiresvc'
const MAX_BODY_BYTES = 1024 * 1024

/**
 * The HTTPS listener. Client certificates are requested, but the routes check them, as in the real server: TLS proves that
 * the client has the key, and an invalid certificate is a 401 and not a failed handshake.
 */
export class HttpsFront implements AsyncDisposable {
  readonly #server: Server
  readonly #closing = new AbortController()
  readonly #open = new Set<Promise<void>>()
  /** TCP sockets, because HTTP does not know a connection that never sends anything. */
  readonly #sockets = new Set<Socket>()

  constructor(
    private readonly identity: ServerIdentity,
    private readonly services: Services,
  ) {
    this.#server = createServer(this.#tls(), (request, response) => {
      const job = this.#serve(request, response).finally(() => this.#open.delete(job))
      this.#open.add(job)
    })
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    // The real server does not close idle connections; a client that reuses one must not race with a short timeout.
    this.#server.keepAliveTimeout = 75_000
  }

  /** Resolves with the port. Throws `config.invalid` if the port is taken or not permitted. */
  async listen(address: ListenAddress): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) => {
        const fault = listenFault(address.host, address.port, cause)
        reject(new AgentError('config.invalid', `${fault}; choose another one (--listen), or port 0`, { cause }))
      })
      this.#server.listen(address.port, address.host, resolve)
    })
    const bound = this.#server.address()
    if (bound === null || typeof bound === 'string') throw new TypeError('a TCP server has an address')
    return bound.port
  }

  /** Names the new CA in handshakes, by which clients choose their certificate. */
  caChanged(): void {
    this.#server.setSecureContext(this.#tls())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the server closes'))
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all([closed, ...this.#open])
  }

  #tls() {
    const { key, certificate } = this.identity
    return {
      key,
      cert: certificate,
      ca: [...this.services.authority.generations],
      requestCert: true,
      rejectUnauthorized: false,
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    const abort = () => gone.abort(new Error('the client is gone'))
    response.once('close', abort)
    this.#closing.signal.addEventListener('abort', abort, { once: true })
    try {
      const body = await readBody(request)
      if (body === null) {
        response.writeHead(413).end()
        return
      }
      const outcome = await dispatch(incomingOf(request, body, gone.signal), this.services)
      // A crashing process drops all connections; a supervisor restarts it at once.
      if (outcome.dies) for (const socket of this.#sockets) socket.destroy()
      else await send(response, outcome, this.services.clock, gone.signal)
    } catch {
      // The client has disconnected, or the server is closing.
      response.destroy()
    } finally {
      this.#closing.signal.removeEventListener('abort', abort)
    }
  }
}

function incomingOf(request: IncomingMessage, body: string, signal: AbortSignal): Incoming {
  const url = new URL(request.url ?? '/', 'https://localhost')
  const account = request.headers['x-tenant-id']
  return {
    method: request.method ?? 'GET',
    path: url.pathname.startsWith(`${BASE_PATH}/`) ? url.pathname.slice(BASE_PATH.length) : `(outside)${url.pathname}`,
    query: url.searchParams,
    body,
    bearer: /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '',
    account: typeof account === 'string' ? account : null,
    ip: request.socket.remoteAddress ?? '',
    certificate: certificateOf(request),
    signal,
  }
}

function certificateOf(request: IncomingMessage): X509Certificate | null {
  const { socket } = request
  return socket instanceof TLSSocket ? (socket.getPeerX509Certificate() ?? null) : null
}

/** The whole body, or null when it is too large. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request) {
    const bytes = Buffer.from(part)
    size += bytes.length
    // Read to the end anyway: leaving the loop would close the connection before the refusal is sent.
    if (size <= MAX_BODY_BYTES) parts.push(bytes)
  }
  return size > MAX_BODY_BYTES ? null : Buffer.concat(parts).toString('utf8')
}
