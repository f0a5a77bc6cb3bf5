import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import {
  type HttpClient,
  HttpError,
  type HttpPeer,
  type HttpRequest,
  type HttpResponse,
  type HttpStream,
  type HttpTls,
} from '../ports/http.js'
import { ANY_SERVER } from './http-advice.js'
import { Dispatchers, type HttpProxy, type Presented } from './http-dispatchers.js'
import { httpError, throughProxy } from './http-errors.js'
import { environmentSource, systemRoots } from './system-roots.js'

export interface HttpClientOptions {
  /** Client certificates and trusted authorities; read for each request, so that a renewed certificate is used at once. */
  readonly tls?: () => HttpTls
  /**
   * PEM of the authorities trusted besides `tls().ca`; default: the system's. Empty for an API with its own CA.
   */
  readonly roots?: () => readonly string[]
  /** The server, for the advice in errors. Default: any server. */
  readonly peer?: HttpPeer
  /** Read for each request. Unix sockets and loopback addresses never go through it. Default: none. */
  readonly proxy?: () => HttpProxy | null
  /** Timeout of each step of a connection: address, TLS, proxy. Default: 10 seconds. */
  readonly connectTimeoutMs?: number
}

const NO_TLS: HttpTls = { ca: [] }

/**
 * HttpClient over undici: TLS 1.2 or newer, keep-alive, one deadline for the whole exchange with its body, a limit of the
 * body enforced while it arrives, no redirects (a redirect is an answer). A change of client certificate or CA does not
 * drop requests in flight.
 */
export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  const peer = options.peer ?? ANY_SERVER
  const dispatchers = new Dispatchers({
    tls: options.tls ?? (() => NO_TLS),
    roots: options.roots ?? (() => systemRoots(environmentSource())),
    proxy: options.proxy ?? (() => null),
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
  })

  return {
    async request(request) {
      using exchange = new ExchangeDeadline(request, proxyOf(dispatchers, request), peer)
      return await exchange.watch(async () => {
        const response = await send(dispatchers, request, exchange.signal)
        return { ...head(response), body: await wholeBody(response, request) }
      })
    },

    async stream(request) {
      const exchange = new ExchangeDeadline(request, proxyOf(dispatchers, request), peer)
      try {
        const response = await exchange.watch(() => send(dispatchers, request, exchange.signal))
        // From now on only the caller's signal ends it.
        exchange.stopClock()
        return streamed(response, exchange)
      } catch (error) {
        exchange[Symbol.dispose]()
        throw error
      }
    },

    [Symbol.asyncDispose]: () => dispatchers.destroy(),
  }
}

/** The deadline of one exchange together with the caller's signal; leaves neither timer nor listener behind. */
class ExchangeDeadline implements Disposable {
  readonly #controller = new AbortController()
  readonly #over: Promise<never>
  readonly #timer: NodeJS.Timeout
  readonly #abort = () => this.#controller.abort()
  #late = false

  constructor(
    private readonly request: HttpRequest,
    private readonly proxy: string | null,
    private readonly peer: HttpPeer,
  ) {
    const { signal } = this.#controller
    this.#over = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    this.#over.catch(() => undefined) // It may reject after the exchange is done.
    this.#timer = setTimeout(() => {
      this.#late = true
      this.#controller.abort()
    }, request.timeoutMs)
    request.signal?.addEventListener('abort', this.#abort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  stopClock(): void {
    clearTimeout(this.#timer)
  }

  /**
   * Runs the work until the deadline and converts its failure to our own error. undici observes the signal only once it has
   * a connection: work that still waits for one is abandoned, and its result is ignored.
   */
  async watch<T>(work: () => Promise<T>): Promise<T> {
    this.request.signal?.throwIfAborted()
    try {
      return await Promise.race([work(), this.#over])
    } catch (error) {
      throw this.explain(error)
    }
  }

  explain(error: unknown): unknown {
    const { signal, timeoutMs } = this.request
    if (signal?.aborted) return signal.reason
    const address = addressOf(this.request)
    if (!this.#late) return error instanceof HttpError ? error : httpError(error, address, this.proxy, this.peer)
    const way = this.proxy === null ? '' : throughProxy(this.proxy)
    return new HttpError('timeout', `${address}: no complete answer within ${timeoutMs / 1000} s${way}`, {
      details: { address },
    })
  }

  [Symbol.dispose](): void {
    this.stopClock()
    this.request.signal?.removeEventListener('abort', this.#abort)
  }
}

async function send(
  dispatchers: Dispatchers,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const url = new URL(request.url)
  if (url.protocol === 'http:' && request.unixSocket === undefined && !isLoopback(url.hostname)) {
    throw new TypeError('http:// is only for loopback addresses and Unix sockets')
  }
  const dispatcher =
    request.unixSocket === undefined
      ? dispatchers.network(url, presented(request))
      : dispatchers.unixSocket(request.unixSocket)
  const response = await dispatcher.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: request.method,
    headers: { ...request.headers },
    body: request.body ?? null,
    signal,
  })
  if (signal.aborted) discard(response.body)
  return response
}

function presented({ withoutIdentity, otherIdentity }: HttpRequest): Presented {
  if (withoutIdentity) return 'none'
  return otherIdentity ? 'other' : 'first'
}

function head({ statusCode, headers }: Dispatcher.ResponseData): Pick<HttpResponse, 'status' | 'headers'> {
  const pairs = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value] as const],
  )
  return { status: statusCode, headers: Object.fromEntries(pairs) }
}

/** The body. If it is larger than allowed, reading stops and the rest is discarded. */
async function wholeBody(response: Dispatcher.ResponseData, request: HttpRequest): Promise<Buffer> {
  const { body, headers } = response
  const announced = Number(headers['content-length'] ?? 0)
  const chunks: Buffer[] = []
  let size = 0
  if (announced > request.maxBytes) {
    discard(body)
    throw tooLarge(request)
  }
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > request.maxBytes) throw tooLarge(request)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

/** Discards the rest of a body, and its connection. */
function discard(body: Readable): void {
  body.on('error', () => undefined).destroy() // Destroying an unread body emits an abort error.
}

/** Ends the exchange with the body, whether it was read completely, in part or not at all. */
function streamed(response: Dispatcher.ResponseData, exchange: ExchangeDeadline): HttpStream {
  const { body } = response
  const release = () => exchange[Symbol.dispose]()
  body.once('close', release)
  return {
    ...head(response),
    body: pieces(body, exchange),
    [Symbol.dispose]: () => {
      release()
      discard(body)
    },
  }
}

async function* pieces(body: Readable, exchange: ExchangeDeadline): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) yield chunk
  } catch (error) {
    throw exchange.explain(error)
  }
}

function tooLarge(request: HttpRequest): HttpError {
  const address = addressOf(request)
  return new HttpError('too_large', `${address}: the answer is larger than ${request.maxBytes} bytes`, {
    details: { address },
  })
}

/** The proxy that a request goes through, as messages show it. */
function proxyOf(dispatchers: Dispatchers, { url, unixSocket }: HttpRequest): string | null {
  return unixSocket === undefined ? dispatchers.proxyFor(new URL(url)) : null
}

/** The destination of a request, without user information, path and query. */
function addressOf({ url, unixSocket }: HttpRequest): string {
  return unixSocket === undefined ? new URL(url).origin : `unix://${unixSocket}`
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}
