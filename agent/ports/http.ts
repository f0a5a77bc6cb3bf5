import type { ExchangeDetails } from '../errors.js'

/** One HTTP exchange. The body is read whole, up to `maxBytes`. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** `https://…`, or `http://…` (loopback or, with `unixSocket`, an engine). */
  readonly url: string
  readonly unixSocket?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly timeoutMs: number
  readonly maxBytes: number
  readonly signal?: AbortSignal
  /** Do not present the client certificate on this exchange. */
  readonly withoutIdentity?: boolean
  /** Present the other client certificate instead, where there is one. */
  readonly otherIdentity?: boolean
}

export interface HttpResponse {
  readonly status: number
  /** Lower-case names; repeated headers joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/**
 * A response whose body arrives piece by piece for as long as the signal lives (watches, event streams). Reading the
 * body, to its end or until one stops, releases it; whoever may not come to read it disposes it.
 */
export interface HttpStream extends Disposable {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: AsyncIterable<Buffer>
}

/** What the client presents and trusts; read for each request. */
export interface HttpTls {
  /** PEM certificates trusted besides the system's. */
  readonly ca: readonly string[]
  /** PEM chain and PKCS#8 PEM key of the client certificate. */
  readonly identity?: ClientIdentity
  /** One that a request may present in its place. */
  readonly other?: ClientIdentity
}

export interface ClientIdentity {
  readonly certificate: string
  readonly key: string
}

/** Whom a client talks to, for the advice in its errors. A setting is null where none says it. */
export interface HttpPeer {
  /** `the server`. */
  readonly name: string
  /** The setting that holds its address. */
  readonly addressSetting: string | null
  /** The setting that names the file of authorities to trust. */
  readonly trustSetting: string | null
}

/** `not_http`: what answered does not speak HTTP. */
export type HttpFailure = 'unreachable' | 'timeout' | 'tls' | 'too_large' | 'not_http'

/** An exchange that brought no complete answer. What that means for an agent is up to whoever asked. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly details: ExchangeDetails

  constructor(
    readonly failure: HttpFailure,
    message: string,
    options: { readonly cause?: unknown; readonly details?: ExchangeDetails } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : {})
    this.details = options.details ?? {}
  }
}

/** Throws HttpError, or the signal's reason when it aborts. */
export interface HttpClient extends AsyncDisposable {
  request(request: HttpRequest): Promise<HttpResponse>
  stream(request: HttpRequest): Promise<HttpStream>
}
