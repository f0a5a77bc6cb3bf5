import { subscribe } from 'node:diagnostics_channel'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { Agent, type Dispatcher, errors, ProxyAgent } from 'undici'
import type { ClientIdentity, HttpTls } from '../ports/http.js'
import { type NoProxy, readNoProxy } from '../ports/no-proxy.js'
import { ALWAYS, Connections } from './http-connections.js'
import { proxyPool, shownProxy } from './http-proxy.js'

/** The proxy for requests to servers, and its exemptions (`NO_PROXY`). */
export interface HttpProxy {
  readonly httpsProxy: string | null
  readonly noProxy: string | null
}

/** How requests leave the machine. */
export interface HttpRoute {
  /** Read for each request; after a change new connections are opened, and old ones finish their requests. */
  readonly tls: () => HttpTls
  /** PEM of the authorities that are trusted besides `tls().ca`; read once, at the first need. */
  readonly roots: () => readonly string[]
  /** Read for each request; as above. */
  readonly proxy: () => HttpProxy | null
  readonly connectTimeoutMs: number
}

/**
 * Below the idle timeout of common load balancers (60 s), so that a kept connection is rarely closed during a request.
 */
const KEEP_ALIVE_MS = 45_000
const MAX_CONNECTIONS = 16

/** No timeouts here: the client sets one deadline for the whole exchange. */
const COMMON = { keepAliveTimeout: KEEP_ALIVE_MS, connections: MAX_CONNECTIONS, headersTimeout: 0, bodyTimeout: 0 }

/**
 * With TLS 1.3 a server refuses a client certificate after the handshake, by an alert and by closing the connection.
 * undici reports only the close, so that a refused certificate would look like an unreachable server. So the socket is
 * destroyed with the alert before undici sees the close.
 */
const keepAlerts = (message: unknown): void => {
  const socket = typeof message === 'object' && message !== null && 'socket' in message ? message.socket : null
  if (!(socket instanceof TLSSocket)) return
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code?.startsWith('ERR_SSL')) socket.destroy(error)
  })
}
let listening = false

/** Which client certificate a request presents, if there is one. */
export type Presented = 'first' | 'other' | 'none'

interface TlsShown {
  readonly ca: readonly string[]
  readonly identity?: ClientIdentity
}
interface PooledDispatcher {
  readonly shown: TlsShown
  /** The URL of the proxy; null without one. */
  readonly proxy: string | null
  readonly dispatcher: Dispatcher
}

const NO_PROXY: HttpProxy = { httpsProxy: null, noProxy: null }
/** A server on this machine is never behind a proxy. */
const THIS_MACHINE = readNoProxy('localhost,127.0.0.0/8,::1')

/**
 * Connection pools by client certificate (one of two, or none), by proxy, and by Unix socket. When certificates or
 * authorities change, requests in flight finish on the old connections, which then close; new requests use new
 * connections. A certificate that is no longer presented is not kept in memory.
 */
export class Dispatchers {
  #slots: readonly PooledDispatcher[] = []
  readonly #sockets = new Map<string, Dispatcher>()
  readonly #retired = new Set<Dispatcher>()
  readonly #connections = new Connections()
  #exempt: { readonly noProxy: string; readonly by: NoProxy } | null = null
  #roots: readonly string[] | null = null

  constructor(private readonly route: HttpRoute) {
    if (!listening) subscribe('undici:client:connected', keepAlerts)
    listening = true
  }

  /** The proxy on the way to a server, as messages show it; null: there is none. */
  proxyFor(url: URL): string | null {
    const proxy = this.#proxyOf(url)
    return proxy === null ? null : shownProxy(proxy)
  }

  /** With its credentials. */
  #proxyOf({ protocol, hostname, port }: URL): string | null {
    const { httpsProxy, noProxy } = this.route.proxy() ?? NO_PROXY
    if (!httpsProxy || protocol !== 'https:') return null
    if (this.#exempt?.noProxy !== (noProxy ?? '')) {
      this.#exempt = { noProxy: noProxy ?? '', by: readNoProxy(noProxy ?? '') }
    }
    const exempt = [THIS_MACHINE, this.#exempt.by].some((one) => one.exempts(hostname, port))
    return exempt ? null : httpsProxy
  }

  unixSocket(path: string): Dispatcher {
    this.#refuseAfterEnd()
    let dispatcher = this.#sockets.get(path)
    if (!dispatcher) {
      const timeout = this.route.connectTimeoutMs
      dispatcher = new Agent({ ...COMMON, connect: this.#connections.connector({ socketPath: path, timeout }) })
      this.#sockets.set(path, dispatcher)
    }
    return dispatcher
  }

  network(url: URL, presented: Presented): Dispatcher {
    this.#refuseAfterEnd()
    const { ca, identity, other } = this.route.tls()
    const kept = [{ ca }, ...[identity, other].flatMap((each) => (each ? [{ ca, identity: each }] : []))]
    const { httpsProxy } = this.route.proxy() ?? NO_PROXY
    const inUse = ({ shown, proxy }: PooledDispatcher) =>
      (proxy === null || proxy === httpsProxy) && kept.some((one) => sameShown(one, shown))
    const live = this.#slots.filter(inUse)
    for (const slot of this.#slots) if (!live.includes(slot)) this.#retire(slot.dispatcher)
    this.#slots = live
    const own = presented === 'none' ? undefined : presented === 'other' ? (other ?? identity) : identity
    const shown: TlsShown = own ? { ca, identity: own } : { ca }
    const proxy = this.#proxyOf(url)
    const slot = live.find((candidate) => candidate.proxy === proxy && sameShown(candidate.shown, shown))
    if (slot) return slot.dispatcher
    const dispatcher = this.#open(shown, proxy)
    this.#slots = [...live, { shown, proxy, dispatcher }]
    return dispatcher
  }

  /** Cuts every connection, also pending ones; requests in flight and later ones fail. */
  async destroy(): Promise<void> {
    const all = [...this.#slots.map(({ dispatcher }) => dispatcher), ...this.#sockets.values()]
    this.#slots = []
    this.#sockets.clear()
    const destroyed = [...all, ...this.#retired].map((dispatcher) => dispatcher.destroy())
    // undici does not end an unanswered TLS handshake, which would keep the process running until its timeout.
    this.#connections.cutAll()
    await Promise.all(destroyed)
  }

  #refuseAfterEnd(): void {
    if (this.#connections.cut) throw new errors.ClientDestroyedError()
  }

  #retire(dispatcher: Dispatcher): void {
    this.#retired.add(dispatcher)
    const forget = () => void this.#retired.delete(dispatcher)
    dispatcher.close().then(forget, forget)
  }

  #open(settings: TlsShown, uri: string | null): Dispatcher {
    const timeout = this.route.connectTimeoutMs
    const server = { timeout, secureContext: this.#context(settings) }
    const connect = this.#connections.connector(server)
    if (uri === null) return new Agent({ ...COMMON, connect })
    // The proxy itself never sees the client certificate.
    const toProxy = this.#connections.connector({ timeout, secureContext: this.#context({ ca: settings.ca }) })
    return new ProxyAgent({
      ...COMMON,
      uri,
      // TLS in a tunnel ends with the tunnel's connection, which is cut like any other.
      requestTls: { ...server, ...ALWAYS },
      // Otherwise a proxy that never answers would block each connection for minutes.
      clientFactory: (origin) => proxyPool(origin, { connect: toProxy, headersTimeout: timeout }),
    })
  }

  /** Made once for many connections: reading a system's roots takes about 20 ms. */
  #context({ ca, identity }: TlsShown): SecureContext {
    this.#roots ??= this.route.roots()
    return createSecureContext({
      ca: [...this.#roots, ...ca],
      minVersion: 'TLSv1.2',
      ...(identity && { cert: identity.certificate, key: identity.key }),
    })
  }
}

function sameShown(a: TlsShown, b: TlsShown): boolean {
  return (
    a.identity?.certificate === b.identity?.certificate &&
    a.identity?.key === b.identity?.key &&
    (a.ca === b.ca || (a.ca.length === b.ca.length && a.ca.every((pem, i) => pem === b.ca[i])))
  )
}
