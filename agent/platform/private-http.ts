import { createServer, type RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { closeServer } from '../lib/close-server.js'
import { listenPrivately } from './private-socket.js'

const MAX_HEADER_BYTES = 8192
/** How long the headers of a request may take to arrive, and the whole of it. */
const HEADERS_MS = 3_000
const REQUEST_MS = 10_000
const LOOK_MS = 1_000
/** Longer than the poll interval of watching clients. */
const KEEP_ALIVE_MS = 15_000
/** Idle timeout of a connection: longer than any answer takes, so that only clients that do not read exceed it. */
const IDLE_MS = 60_000

export interface PrivateHttpOptions {
  readonly path: string
  /** Further connections are closed at once. */
  readonly maxConnections: number
  /** Called before anything is read; false closes the connection. */
  readonly admit: (socket: Socket) => boolean
  /** Called when a connection exceeds the limit. */
  readonly onExcess: () => void
  readonly onRequest: RequestListener
}

export interface PrivateHttp extends AsyncDisposable {
  /** Number of open connections. */
  readonly connections: number
  /** Instead of disposal: does not touch the disk, and does not keep the process running. */
  abandon(): void
}

/** HTTP on a Unix socket that only this user can connect to; for its directory see private-socket.ts. */
export async function servePrivately(options: PrivateHttpOptions): Promise<PrivateHttp> {
  const { path, maxConnections, admit, onExcess, onRequest } = options
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: LOOK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      requireHostHeader: false,
    },
    onRequest,
  )
  server.maxConnections = maxConnections
  server.timeout = IDLE_MS
  const open = new Set<Socket>()
  server.on('drop', onExcess)
  server.prependListener('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    if (!admit(socket)) socket.destroy()
  })
  await listenPrivately(server, path)
  return {
    get connections() {
      return open.size
    },
    abandon() {
      server.closeAllConnections()
      server.unref()
    },
    [Symbol.asyncDispose]: () => closeServer(server),
  }
}
