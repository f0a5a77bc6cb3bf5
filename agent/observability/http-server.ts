import type { Server, Socket } from 'node:net'
import type { FastifyInstance, FastifyServerFactory } from 'fastify'
import { AgentError, messageOf } from '../errors.js'
import { closeServer } from '../lib/close-server.js'
import { listenFault } from '../lib/listen-fault.js'
import { addHealthRoutes, type HealthSource } from './health-routes.js'
import { ProbeConnections, type ProbeLimits } from './probe-connections.js'

/** Far above what probes and scrapers need; together at most 1024 descriptors. */
const LIMITS: ProbeLimits = { perAddress: 64, network: 512, loopback: 512 }
const MAX_HEADER_BYTES = 8192
/** A flood fills Node's default of 511 while the event loop is busy; a probe would then retry after 1 s and 3 s. */
const BACKLOG = 4096
/** A probe sends its request at once. */
const HEADERS_MS = 1000
const LOOK_MS = 500
/** How long a request may take to arrive, and how long an idle connection is kept. */
const REQUEST_MS = 3000

export interface HealthIdentity {
  readonly certificate: string
  readonly key: string
}

/** The certificate of an HTTPS server, which may be replaced while the server runs. */
export interface TlsSource {
  readonly make: (options: typeof HTTP & { readonly handshakeTimeout: number }) => {
    readonly server: FastifyInstance['server']
    use(identity: HealthIdentity): void
  }
  /** Calls `use` with the present certificate, and again with each one that replaces it. */
  readonly follow: (use: (identity: HealthIdentity) => void) => Disposable
}

export interface HealthServerOptions extends HealthSource {
  readonly bindAddress: string
  /** 0 takes any free port. */
  readonly port: number
  /** Absent or null: plain HTTP. */
  readonly tls?: TlsSource | null
}

export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/**
 * Serves health at a port: over HTTP, or with a certificate over HTTPS only. Throws `health.unavailable` if the port
 * cannot be opened; the caller decides whether the agent continues without it.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const secure = options.tls?.make({ ...HTTP, handshakeTimeout: REQUEST_MS })
  const app = await healthApp(options, secure?.server)
  limitConnections(app.server)
  try {
    await app.listen({ host: options.bindAddress, port: options.port, backlog: BACKLOG })
  } catch (error) {
    await app.close()
    throw new AgentError('health.unavailable', refusal(options, error), { cause: error })
  }
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : options.port
  const certificate = secure && options.tls?.follow(secure.use)
  return {
    port,
    async [Symbol.asyncDispose]() {
      certificate?.[Symbol.dispose]()
      await app.close()
    },
  }
}

/** With TLS the socket of a request is not the accepted one; the peer's address and port connect the two. */
function limitConnections(server: FastifyInstance['server']): void {
  const connections = new ProbeConnections(LIMITS)
  const accepted = new Map<string, Socket>()
  const peerOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress}:${remotePort}`
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket)
    accepted.set(peer, socket)
    socket.once('close', () => {
      if (accepted.get(peer) === socket) accepted.delete(peer)
    })
    connections.admit(socket)
  })
  server.on('request', (request, response) => {
    const socket = accepted.get(peerOf(request.socket)) ?? request.socket
    connections.asks(socket)
    response.once('finish', () => connections.answered(socket))
  })
}

export interface HealthSocket extends AsyncDisposable {
  /** Instead of disposal: does not touch the disk, and does not keep the process running. */
  abandon(): void
}

export interface HealthSocketOptions extends HealthSource {
  readonly path: string
  /** Makes the server listen at the path, so that only the agent's user can connect. */
  readonly listen: (server: Server, path: string) => Promise<void>
}

/** Serves health on a Unix socket, which a flood from the network does not block. Throws `health.unavailable`. */
export async function startHealthSocket(options: HealthSocketOptions): Promise<HealthSocket> {
  const { path } = options
  const app = await healthApp(options)
  try {
    await app.ready()
    await options.listen(app.server, path)
  } catch (error) {
    await app.close()
    throw new AgentError('health.unavailable', `${path} cannot be opened (${messageOf(error)})`, { cause: error })
  }
  return {
    abandon() {
      app.server.closeAllConnections()
      app.server.unref()
    },
    async [Symbol.asyncDispose]() {
      // Fastify closes only the servers that it opened itself.
      await closeServer(app.server)
      await app.close()
    },
  }
}

const HTTP = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_MS,
  requestTimeout: REQUEST_MS,
  connectionsCheckingInterval: LOOK_MS,
  requireHostHeader: false,
  keepAliveTimeout: REQUEST_MS,
}

async function healthApp(source: HealthSource, secure?: FastifyInstance['server']): Promise<FastifyInstance> {
  // Loaded here, so that an agent with health.enabled: false does not pay for it.
  const { fastify } = await import('fastify')
  const app = fastify<FastifyInstance['server']>({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: REQUEST_MS,
    forceCloseConnections: true,
    http: HTTP,
    ...(secure && { serverFactory: (answer: Parameters<FastifyServerFactory>[0]) => secure.on('request', answer) }),
    routerOptions: { ignoreTrailingSlash: true },
  })
  addHealthRoutes(app, source)
  return app
}

function refusal({ bindAddress, port }: HealthServerOptions, error: unknown): string {
  const remedy = 'set health.port or health.bind_address to what is free, or health.enabled to false'
  return `${listenFault(bindAddress, port, error)}; ${remedy}`
}
