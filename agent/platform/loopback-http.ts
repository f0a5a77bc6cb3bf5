import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AgentError } from '../errors.js'
import { closeServer } from '../lib/close-server.js'
import { listenFault } from '../lib/listen-fault.js'

const MAX_CONNECTIONS = 32
const MAX_HEADER_BYTES = 8192
const HEADERS_MS = 3_000
const REQUEST_MS = 10_000
/** Limit of bytes that wait for a slow client; above it nothing more is sent. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

export interface LoopbackRequest {
  readonly method: string
  /** Path and query as received. */
  readonly target: string
  readonly host: string | undefined
  readonly cookie: string | undefined
}

export interface LoopbackAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Called when the body is sent; continues the answer until the client disconnects. */
  readonly goOn?: (client: LoopbackClient) => Disposable
}

export interface LoopbackClient {
  /** False, and nothing is sent, if the client does not read. */
  send(text: string): boolean
}

export interface LoopbackHttp extends AsyncDisposable {
  readonly port: number
}

/** HTTP for browsers and probes of this machine. A rejected answer closes the connection. Throws `command.failed`. */
export async function serveOnLoopback(options: {
  readonly address: string
  /** 0: any that is free. */
  readonly port: number
  /** What names the port on the command line. */
  readonly option: string
  readonly answer: (request: LoopbackRequest) => Promise<LoopbackAnswer>
}): Promise<LoopbackHttp> {
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS }
  const server = createServer(limits, (request, response) => {
    options.answer(requestOf(request)).then(
      (answer) => give(answer, request, response),
      () => response.destroy(),
    )
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const fault = listenFault(options.address, options.port, cause)
      reject(new AgentError('command.failed', `${fault}; choose another one (${options.option})`, { cause }))
    })
    server.listen({ host: options.address, port: options.port, exclusive: true }, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    [Symbol.asyncDispose]: () => closeServer(server),
  }
}

function requestOf({ method = '', url = '', headers }: IncomingMessage): LoopbackRequest {
  return { method, target: url, host: headers.host, cookie: headers.cookie }
}

function give({ status, headers, body, goOn }: LoopbackAnswer, { method }: IncomingMessage, response: ServerResponse) {
  if (response.destroyed) return
  response.writeHead(status, headers)
  if (!goOn || method === 'HEAD') {
    response.end(method === 'HEAD' ? undefined : body)
    return
  }
  response.write(body)
  const running = goOn({
    send(text) {
      if (response.writableLength > MAX_WAITING_BYTES) return false
      response.write(text)
      return true
    },
  })
  response.once('close', () => running[Symbol.dispose]())
}
