import type { ExchangeDetails } from '../errors.js'

/** One HTTP exchange. The body is read completely, up to `maxBytes`. */
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
  /** Present the other client certificate instead, if there is one. */
  readonly otherIdentity?: boolean
}

export interface HttpResponse {
  readonly status: number
  /** Lower-case names; repeated headers joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/**
 * A response whose body arrives in pieces until the signal aborts (watches, event streams). Reading the body, to its end
 * or in part, releases it; a caller that may not read it must dispose it.
 */
export interface HttpStream extends Disposable {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: AsyncIterable<Buffer>
}

/** The client's certificates and trusted authorities; read for each request. */
export interface HttpTls {
  /** PEM certificates trusted besides the system's. */
  readonly ca: readonly string[]
  /** PEM chain and PKCS#8 PEM key of the client certificate. */
  readonly identity?: ClientIdentity
  /** A second one that a request may present instead. */
  readonly other?: ClientIdentity
}

export interface ClientIdentity {
  readonly certificate: string
  readonly key: string
}

/** The server of a client, for the advice in its errors. A setting is null if there is none. */
export interface HttpPeer {
  /** `the server`. */
  readonly name: string
  /** The setting that holds its address. */
  readonly addressSetting: string | null
  /** The setting that names the file of authorities to trust. */
  readonly trustSetting: string | null
}

/** `not_http`: the answer is not HTTP. */
export type HttpFailure = 'unreachable' | 'timeout' | 'tls' | 'too_large' | 'not_http'

/** An exchange without a complete answer. The sender of the request decides what that means. */
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
