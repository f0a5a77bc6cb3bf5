import type { AgentOptions, Agent as HttpsAgent } from 'node:https'
import type { Socket } from 'node:net'
import { type ConnectionOptions, type Server, TLSSocket, type TlsOptions } from 'node:tls'
import { AgentError } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import { SystemClock } from '../platform/system-clock.js'
import type { Clock } from '../ports/clock.js'
import { type Authorize, authorizeAny } from './authorize.js'
import { bundlesOf } from './changes.js'
import { clientOptions, guard, ownCertificate, RotatingHttpsAgent, type TlsSettings } from './mtls.js'
import { admittedPeer } from './peer.js'
import { MAX_DELAY_MS } from './watch.js'
import { type ClientOptions, WorkloadApiClient } from './workload-api-client.js'
import type { HeldSvid, X509Context } from './x509-context.js'

export interface X509SourceOptions extends ClientOptions {
  /** Ends the wait of `open` for the first SVID; default: it waits for ever. Not used later. */
  readonly signal?: AbortSignal | undefined
  /**
   * Chooses the identity to use; default: the first, the default identity (Workload API 8). If it returns `undefined`, the
   * source keeps the present one, or waits for the first.
   */
  readonly pick?: ((svids: readonly HeldSvid[]) => HeldSvid | undefined) | undefined
}

export interface MtlsOptions {
  /** Which peers are accepted. */
  readonly authorize: Authorize
  /** Options of `tls.createSecureContext`; default: `{ minVersion: 'TLSv1.2' }`. */
  readonly tls?: TlsSettings | undefined
}

/** The state of the source; each message replaces it. */
interface SourceState {
  readonly held: HeldSvid
  readonly bundles: BundleSet
}

/**
 * The X.509 identity of this process, kept up to date by a watch until it is closed, with options for TLS. While the agent
 * does not answer, the last SVID and bundles stay in use.
 */
export class X509Source implements Disposable {
  /** The client on the same connection, for example for JWT-SVIDs. */
  readonly client: WorkloadApiClient
  readonly #clock: Clock
  readonly #options: X509SourceOptions
  readonly #closing = new AbortController()
  readonly #listeners = new Set<() => void>()
  /** Peers of connections that this source has verified. */
  readonly #peers = new WeakMap<Socket, SpiffeId>()
  #state: SourceState | null = null
  #failure: AgentError | null = null

  private constructor(options: X509SourceOptions) {
    this.#options = options
    this.#clock = options.clock ?? new SystemClock()
    this.client = WorkloadApiClient.connect({
      ...options,
      clock: this.#clock,
      onRetry: (retry) => {
        this.#failure = retry.error
        options.onRetry?.(retry)
      },
    })
  }

  /**
   * Resolves with the first SVID, and retries until then, because an agent may be starting and an entry may not be synced
   * yet. Rejects with permanent errors (`request.invalid`, `client.unimplemented`, `client.address_invalid`), and when the
   * signal aborts, with the last failure or else the signal's reason.
   */
  static async open(options: X509SourceOptions = {}): Promise<X509Source> {
    const { signal } = options
    signal?.throwIfAborted()
    const source = new X509Source(options)
    const abort = () => source.close()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const contexts = source.client.watchX509Svids(source.#closing.signal)
      while (source.#state === null) {
        const { done, value } = await contexts.next()
        if (done) throw source.#failure ?? signal?.reason
        source.#take(value)
      }
      void source.#follow(contexts)
      return source
    } catch (error) {
      source.close()
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** The present SVID; do not keep it. */
  get svid(): X509Svid {
    return this.#now().held.svid
  }

  /** The hint of the SVID's entry; empty if there is none. */
  get hint(): string {
    return this.#now().held.hint
  }

  /** The present bundles, by trust domain: its own and federated ones. */
  get bundles(): BundleSet {
    return this.#now().bundles
  }

  /** Calls the listener after each change of the SVID or the bundles, until the result is disposed of. */
  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /**
   * The present options for one connection by `tls.connect`, `http2.connect` and libraries built on them; call it for each
   * connection. The server's SPIFFE ID is checked instead of its host name.
   */
  clientOptions({ authorize, tls = {} }: MtlsOptions): ConnectionOptions {
    const { held, bundles } = this.#now()
    return clientOptions(ownCertificate(held.svid, tls), bundles, (_host, certificate) => {
      try {
        admittedPeer(certificate, { bundles: this.bundles, now: this.#clock.now(), authorize })
        return undefined
      } catch (error) {
        if (error instanceof AgentError) return error
        throw error
      }
    })
  }

  /** An agent for `https.request` and `https.get`: each new connection uses the present SVID and bundles. */
  httpsAgent(options: MtlsOptions, agent: AgentOptions = {}): HttpsAgent {
    let made: { readonly state: SourceState; readonly options: ConnectionOptions } | null = null
    return new RotatingHttpsAgent(() => {
      const state = this.#now()
      if (made?.state !== state) made = { state, options: this.clientOptions(options) }
      return made.options
    }, agent)
  }

  /**
   * The server that `make` creates with the options (`https.createServer`, `tls.createServer`, `http2.createSecureServer`);
   * its certificate is replaced at each rotation. Only clients that `authorize` admits can connect; the event
   * `tlsClientError` reports the others.
   */
  createServer<S extends Server>(make: (options: TlsOptions) => S, { authorize, tls = {} }: MtlsOptions): S {
    const own = () => ({ ...ownCertificate(this.svid, tls), ca: [] })
    // OpenSSL must not decide, because it uses one set of authorities for all trust domains.
    const server = make({ ...own(), requestCert: true, rejectUnauthorized: false })
    guard(server, (socket) => {
      const certificate = socket.getPeerCertificate(true)
      const peer = admittedPeer(certificate, { bundles: this.bundles, now: this.#clock.now(), authorize })
      this.#peers.set(socket, peer)
      socket.authorized = true
      Reflect.set(socket, 'authorizationError', null)
    })
    const rotation = this.onChange(() => server.setSecureContext(own()))
    server.once('close', () => rotation[Symbol.dispose]())
    return server
  }

  /**
   * The SPIFFE ID of the peer of a TLS connection, for example of `req.socket` of an HTTPS server. Throws
   * `client.peer_refused` if no bundle verifies one.
   */
  peerId(socket: Socket): SpiffeId {
    const known = this.#peers.get(socket)
    if (known) return known
    if (!(socket instanceof TLSSocket)) throw new TypeError('only the peer of a TLS connection has a SPIFFE ID')
    const peer = admittedPeer(socket.getPeerCertificate(true), {
      bundles: this.bundles,
      now: this.#clock.now(),
      authorize: authorizeAny(),
    })
    this.#peers.set(socket, peer)
    return peer
  }

  /** Ends the watch and closes the connection to the agent. Servers keep their last certificate. */
  close(): void {
    this.#closing.abort()
    this.#listeners.clear()
    this.client.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Handles each message until the source is closed, also after permanent failures. */
  async #follow(contexts: AsyncGenerator<X509Context>): Promise<void> {
    const { signal } = this.#closing
    for (let watched = contexts; !signal.aborted; watched = this.client.watchX509Svids(signal)) {
      try {
        for await (const context of watched) this.#take(context)
      } catch (error) {
        if (!(error instanceof AgentError)) throw error
        this.#options.onRetry?.({ error, delayMs: MAX_DELAY_MS, attempt: 1 })
        await sleepUnlessAborted(this.#clock, MAX_DELAY_MS, signal)
      }
    }
  }

  #take(context: X509Context): void {
    const { pick = ([first]: readonly HeldSvid[]) => first } = this.#options
    const held = pick(context.svids) ?? this.#state?.held
    if (!held) return
    this.#state = { held, bundles: bundlesOf(context) }
    // An exception of a listener must not end the watch.
    for (const listener of this.#listeners) queueMicrotask(listener)
  }

  #now(): SourceState {
    if (!this.#state) throw new TypeError('a source has an SVID from the start')
    return this.#state
  }
}
