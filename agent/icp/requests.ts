import { AgentError, codeOf, isError } from '../errors.js'
import { delay } from '../lib/backoff.js'
import { sleepOut } from '../lib/sleep.js'
import type { ServerEvents } from '../observability/server-events.js'
import type { Clock } from '../ports/clock.js'
import type { HttpClient, HttpRequest, HttpResponse } from '../ports/http.js'
import type { Random } from '../ports/random.js'
import type { RequestSpan, RequestTracing } from '../ports/tracing.js'
import { errorOf, retryAfterOf } from './answers.js'
import { ClientCertificatePolicy } from './client-certificate-policy.js'
import { type ClientCertificates, NO_CLIENT_CERTIFICATES, presenting } from './client-certificates.js'
import { type ServerEndpoint, specOf, tierOf } from './endpoints.js'
import type { RateLimiter } from './rate-limiter.js'
import { ServerClock } from './server-clock.js'
import { icpError } from './transport.js'

/** The part of the configuration that requests need (`icp_service`). */
export interface IcpSettings {
  /** Without a trailing slash. */
  readonly address: string
  /** Deadline of one request with its body. */
  readonly timeoutMs: number
  readonly maxRetries: number
  readonly retryBackoffMs: number
}

export interface RequestOptions {
  readonly settings: IcpSettings
  readonly tenantId: string
  readonly http: HttpClient
  /** The caller charges the first request of each call; further ones are charged here. */
  readonly limiter: Pick<RateLimiter, 'charge' | 'acquire'>
  readonly clock: Clock
  readonly random: Random
  readonly events: ServerEvents
  /** Traces of requests; absent: none. */
  readonly tracing?: RequestTracing | undefined
  /** The agent's certificates. Default: answers are not reported, and there is no second certificate. */
  readonly certificates?: ClientCertificates
}

/** Which certificate an exchange presents: the first, the other, or none. */
type PresentedChoice = 'first' | 'other' | 'none'

export interface Exchange {
  readonly endpoint: ServerEndpoint
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Readonly<Record<string, unknown>>
  /** Values in the body that must not appear in a message. */
  readonly secrets?: readonly string[]
  /** Sent only once, because the attempt may consume a join token. */
  readonly once?: boolean
  readonly maxBytes?: number
  readonly signal: AbortSignal
}

const MAX_BYTES = 1_048_576
const MAX_BACKOFF_MS = 60_000
const RETRIED_STATUS = new Set([502, 503, 504])
const RETRIED_CODES = new Set(['icp.unreachable', 'icp.timeout'])

/**
 * Exchanges with the ICP server: address, headers, deadline, size limit, retries after temporary failures (network errors,
 * 502, 503, 504), and an error for every answer but success. A 429 is not retried here; the planning loops decide. A retry
 * waits for a slot of the rate limiter.
 */
export class Requests {
  readonly clock: ServerClock
  readonly identity: ClientCertificatePolicy
  readonly #certificates: ClientCertificates

  constructor(private readonly options: RequestOptions) {
    this.#certificates = options.certificates ?? NO_CLIENT_CERTIFICATES
    this.clock = new ServerClock(options.clock, options.events)
    this.identity = new ClientCertificatePolicy(options.clock, options.events, this.#certificates)
  }

  /** The result of `accept` for an answer with status 200 or 201. Throws `icp.*`, or the signal's reason. */
  async send<T>(exchange: Exchange, accept: (response: HttpResponse) => T): Promise<T> {
    const { settings, limiter, events, random } = this.options
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#attempt(exchange, accept)
      if (!(outcome instanceof Failure)) return outcome.result
      if (exchange.once || attempt >= settings.maxRetries || !outcome.passing) throw outcome.cause
      const backoff = delay(attempt + 1, { baseMs: settings.retryBackoffMs, capMs: MAX_BACKOFF_MS }, random.fraction())
      const wait = Math.min(MAX_BACKOFF_MS, Math.max(backoff, outcome.retryAfterMs))
      events.retrying(exchange.endpoint, codeOf(outcome.cause), attempt + 1, wait)
      await this.#wait(wait, exchange.signal)
      await limiter.acquire(tierOf(exchange.endpoint, this.identity.workspace), exchange.signal)
    }
  }

  /** One attempt, counted and measured. Throws the signal's reason and defects. */
  async #attempt<T>(
    exchange: Exchange,
    accept: (response: HttpResponse) => T,
  ): Promise<{ readonly result: T } | Failure> {
    const { clock, events, limiter } = this.options
    const { endpoint } = exchange
    const span = this.options.tracing?.begin(endpoint)
    const began = clock.monotonic()
    const seconds = () => (clock.monotonic() - began) / 1000
    try {
      let sent = 0
      const send = (presented: PresentedChoice) => {
        // A second request of the attempt (without or with the other certificate) is charged too.
        if (sent++ > 0) limiter.charge(tierOf(endpoint, this.identity.workspace))
        return this.#exchange(exchange, presented, span)
      }
      const response = await this.identity.choose(endpoint, (withoutIdentity) =>
        withoutIdentity ? this.#sendWithout(endpoint, send) : this.#present(endpoint, send),
      )
      if (response.status === 200 || response.status === 201) {
        const result = accept(response)
        events.answered(endpoint, seconds())
        span?.end('ok')
        return { result }
      }
      const error = errorOf({ endpoint, response, secrets: exchange.secrets ?? [], now: clock.now() })
      events.failed(endpoint, seconds(), error)
      span?.end(error.code)
      if (isError(error, 'icp.rate_limited')) events.rateLimited(endpoint, error)
      if (error.code === 'icp.agent_inactive' && specOf(endpoint).identity) this.#certificates.inactive(error)
      const passing = RETRIED_STATUS.has(response.status) && error.code !== 'icp.cn_refused'
      return new Failure(error, passing, retryAfterOf(response, clock.now()) ?? 0)
    } catch (error) {
      span?.end(codeOf(error))
      exchange.signal.throwIfAborted()
      events.failed(endpoint, seconds(), error)
      if (!(error instanceof AgentError)) throw error
      return new Failure(error, RETRIED_CODES.has(error.code), 0)
    }
  }

  #present(
    endpoint: ServerEndpoint,
    send: (presented: PresentedChoice) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    // Servers of the tenant API refuse every renewal, whatever certificate is presented.
    if (endpoint === 'renew_agent' && !this.identity.workspace) return send('first')
    const { clock } = this.options
    return presenting(
      this.#certificates,
      endpoint,
      (other) => send(other ? 'other' : 'first'),
      () => clock.now(),
    )
  }

  async #sendWithout(
    endpoint: ServerEndpoint,
    send: (presented: PresentedChoice) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    const response = await send('none')
    if (specOf(endpoint).identity && response.status < 300) this.#certificates.accepted(null)
    return response
  }

  async #exchange(
    exchange: Exchange,
    presented: PresentedChoice,
    span: RequestSpan | undefined,
  ): Promise<HttpResponse> {
    const sent = this.options.clock.monotonic()
    try {
      const response = await this.options.http.request(this.#request(exchange, presented, span?.headers))
      this.clock.read(response, sent)
      return response
    } catch (thrown) {
      const error = icpError(thrown)
      throw presented === 'none' ? error : asRefusal(exchange.endpoint, error)
    }
  }

  #request(
    { endpoint, query, body, maxBytes, signal }: Exchange,
    presented: PresentedChoice,
    traced: Readonly<Record<string, string>> = {},
  ): HttpRequest {
    const { settings, tenantId } = this.options
    const { method, path } = specOf(endpoint)
    const search = query ? `?${new URLSearchParams(query).toString()}` : ''
    return {
      method,
      url: settings.address + path.replace('{account}', encodeURIComponent(tenantId)) + search,
      headers: {
        accept: 'application/json',
        'user-agent': 'icp-agent',
        'x-tenant-id': tenantId,
        ...traced,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      timeoutMs: settings.timeoutMs,
      maxBytes: maxBytes ?? MAX_BYTES,
      signal,
      withoutIdentity: presented === 'none',
      ...(presented === 'other' ? { otherIdentity: true } : {}),
    }
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.options
    const due = clock.monotonic() + ms
    await sleepOut(clock, () => due - clock.monotonic(), signal)
  }
}

/** A handshake that failed because of our certificate is treated like a 401. */
function asRefusal(endpoint: ServerEndpoint, error: unknown): unknown {
  if (!isError(error, 'icp.tls') || error.details.clientCertificate !== true) return error
  const message = `${specOf(endpoint).name} was refused: ${error.message}`
  return new AgentError('icp.unauthorized', message, { cause: error, details: { ...error.details, endpoint } })
}

/** A failed attempt, and whether its cause may be temporary. */
class Failure {
  constructor(
    readonly cause: AgentError,
    readonly passing: boolean,
    readonly retryAfterMs: number,
  ) {}
}
