import { Client, connectivityState, credentials } from '@grpc/grpc-js'
import { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import { LinkedAbort } from '../lib/abort.js'
import { SystemClock } from '../platform/system-clock.js'
import type { Clock } from '../ports/clock.js'
import { type Endpoint, environmentEndpoint, grpcTarget, parseEndpoint } from './address.js'
import { authsecMessages } from './authsec-messages.js'
import { callError, silentError } from './call-error.js'
import type { ClientDialect } from './dialect.js'
import type { DialectName } from './dialect-name.js'
import {
  checkJwtBundles,
  checkJwtSvids,
  checkValidated,
  type HeldJwtSvid,
  type JwtBundleSet,
  type ValidatedJwt,
} from './jwt.js'
import { type StreamingMethod, serverStream } from './server-stream.js'
import { spiffeMessages } from './spiffe-messages.js'
import { unaryCall } from './unary-call.js'
import { type Retry, watch } from './watch.js'
import { verifyX509Bundles, verifyX509Context, type X509Context } from './x509-context.js'

export interface ClientOptions {
  /** `unix:///path` or `tcp://IP:port`; default: the variable SPIFFE_ENDPOINT_SOCKET. */
  readonly address?: string | Endpoint | undefined
  /** Default `spiffe`, which every agent speaks. */
  readonly dialect?: DialectName | undefined
  /** Default: the system clock. For tests. */
  readonly clock?: Clock | undefined
  /** Called when a watch waits before it opens its stream again. */
  readonly onRetry?: ((retry: Retry) => void) | undefined
}

const DIALECTS: Readonly<Record<DialectName, ClientDialect>> = { spiffe: spiffeMessages, authsec: authsecMessages }
/** Longer than any agent takes for the beginning of HTTP/2; the kernel accepts for one that hangs or is stopped. */
const SILENT_MS = 30_000
/** 64 identities with their chains and bundles stay far below this. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024

/**
 * A client of the Workload API, for any agent that speaks one of the two dialects. Everything that it returns is verified.
 * When the signal aborts, fetches reject with its reason, and watches end without an error. Errors: `client.*`,
 * `request.invalid`, `request.too_many`.
 */
export class WorkloadApiClient implements Disposable {
  readonly endpoint: Endpoint
  readonly #client: Client
  readonly #dialect: ClientDialect
  readonly #clock: Clock
  readonly #onRetry: ClientOptions['onRetry']

  private constructor({ address = environmentEndpoint(), dialect = 'spiffe', clock, onRetry }: ClientOptions) {
    this.endpoint = typeof address === 'string' ? parseEndpoint(address) : address
    this.#dialect = DIALECTS[dialect]
    this.#clock = clock ?? new SystemClock()
    this.#onRetry = onRetry
    this.#client = new Client(grpcTarget(this.endpoint), credentials.createInsecure(), {
      'grpc.enable_channelz': 0,
      // A proxy from the environment must not be used between a workload and its agent.
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': 5_000,
    })
  }

  /** Creates a client; the first call connects. Throws `client.address_invalid`. */
  static connect(options: ClientOptions = {}): WorkloadApiClient {
    return new WorkloadApiClient(options)
  }

  /** The present identities of this process. */
  async fetchX509Svid(signal: AbortSignal = never()): Promise<X509Context> {
    return await first(this.#x509Svids(signal))
  }

  /** The identities of this process, now and after each change. */
  watchX509Svids(signal: AbortSignal = never()): AsyncGenerator<X509Context> {
    return this.#watch(() => this.#x509Svids(signal), signal)
  }

  /** The bundles of all trust domains that this process may trust, its own among them. */
  async fetchX509Bundles(signal: AbortSignal = never()): Promise<BundleSet> {
    return await first(this.#x509Bundles(signal))
  }

  /** The bundles, now and after each change. */
  watchX509Bundles(signal: AbortSignal = never()): AsyncGenerator<BundleSet> {
    return this.#watch(() => this.#x509Bundles(signal), signal)
  }

  /** Tokens for the audiences, for one identity of this process or (without `spiffeId`) for each. */
  async fetchJwtSvids(
    { audience, spiffeId = '' }: { readonly audience: readonly string[]; readonly spiffeId?: string },
    signal: AbortSignal = never(),
  ): Promise<readonly HeldJwtSvid[]> {
    const message = await this.#unary('FetchJWTSVID', this.#dialect.jwtSvidRequest(audience, spiffeId), signal)
    return checkJwtSvids(this.#dialect.jwtSvids(message), audience)
  }

  /** The keys of JWT-SVIDs, a JWKS for each trust domain. */
  async fetchJwtBundles(signal: AbortSignal = never()): Promise<JwtBundleSet> {
    return await first(this.#jwtBundles(signal))
  }

  /** The keys, now and after each change. */
  watchJwtBundles(signal: AbortSignal = never()): AsyncGenerator<JwtBundleSet> {
    return this.#watch(() => this.#jwtBundles(signal), signal)
  }

  /** Has the agent validate a token. Throws `request.invalid` for one that does not hold for the audience. */
  async validateJwtSvid(
    token: Secret | string,
    audience: string,
    signal: AbortSignal = never(),
  ): Promise<ValidatedJwt> {
    const request = this.#dialect.validateRequest(audience, token instanceof Secret ? token.reveal() : token)
    return checkValidated(this.#dialect.validated(await this.#unary('ValidateJWTSVID', request, signal)))
  }

  /** Closes the connection when the last call has ended. Only their signals end calls and watches. */
  close(): void {
    this.#client.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async *#x509Svids(signal: AbortSignal): AsyncGenerator<X509Context> {
    for await (const message of this.#stream('FetchX509SVID', signal)) {
      yield verifyX509Context(() => this.#dialect.x509Svids(message), this.#clock.now())
    }
  }

  async *#x509Bundles(signal: AbortSignal): AsyncGenerator<BundleSet> {
    for await (const message of this.#stream('FetchX509Bundles', signal)) {
      yield verifyX509Bundles(() => this.#dialect.x509Bundles(message))
    }
  }

  async *#jwtBundles(signal: AbortSignal): AsyncGenerator<JwtBundleSet> {
    for await (const message of this.#stream('FetchJWTBundles', signal)) {
      yield checkJwtBundles(this.#dialect.jwtBundles(message))
    }
  }

  async #unary(
    name: 'FetchJWTSVID' | 'ValidateJWTSVID',
    request: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    using call = this.#call(signal)
    try {
      return await unaryCall(this.#client, this.#dialect, name, request, call.signal)
    } catch (error) {
      signal.throwIfAborted()
      throw callError(error, this.endpoint)
    }
  }

  async *#stream(name: StreamingMethod, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    using call = this.#call(signal)
    try {
      yield* serverStream(this.#client, this.#dialect, name, call.signal)
    } catch (error) {
      signal.throwIfAborted()
      throw callError(error, this.endpoint)
    }
    throw new AgentError('client.unavailable', 'the agent ended the stream')
  }

  /** For one call: aborts it where no connection comes about, for which grpc-js would wait for ever. */
  #call(signal: AbortSignal): { readonly signal: AbortSignal } & Disposable {
    const abort = new LinkedAbort(signal)
    const timer = this.#clock.after(SILENT_MS, () => {
      if (this.#client.getChannel().getConnectivityState(false) === connectivityState.READY) return
      abort.abort(silentError(this.endpoint, SILENT_MS))
    })
    return {
      signal: abort.signal,
      [Symbol.dispose]: () => {
        timer[Symbol.dispose]()
        abort[Symbol.dispose]()
      },
    }
  }

  #watch<T>(open: () => AsyncGenerator<T>, signal: AbortSignal): AsyncGenerator<T> {
    return watch(open, { clock: this.#clock, signal, onRetry: this.#onRetry })
  }
}

function never(): AbortSignal {
  return new AbortController().signal
}

async function first<T>(stream: AsyncGenerator<T>): Promise<T> {
  for await (const value of stream) return value
  throw new TypeError('a stream of the Workload API ended without an error')
}
