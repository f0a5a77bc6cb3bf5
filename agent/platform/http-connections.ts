import { isIP } from 'node:net'
import { buildConnector, errors } from 'undici'

/**
 * Options of every TLS connection: the server is always verified, whatever NODE_TLS_REJECT_UNAUTHORIZED says, and no
 * session is resumed.
 */
export const ALWAYS = { rejectUnauthorized: true, maxCachedSessions: 0 } as const

/**
 * Makes connections, so that all of them can be cut at once, also those that are still being made.
 *
 * Each has a signal of its own: Node never removes its listener from a socket's signal, so a common signal would keep
 * every closed socket in memory.
 */
export class Connections {
  readonly #open = new Set<AbortController>()
  #cut = false

  get cut(): boolean {
    return this.#cut
  }

  connector(options: buildConnector.BuildOptions): buildConnector.connector {
    return (target, callback) => {
      if (this.#cut) return queueMicrotask(() => callback(new errors.ClientDestroyedError(), null))
      const end = new AbortController()
      const over = () => void this.#open.delete(end)
      const connect = buildConnector({ ...options, ...ALWAYS, signal: end.signal })
      connect(namedByDns(target), (...made) => {
        // A tunnel outlives its request to the proxy, so its end is that of its socket.
        if (made[1]) made[1].once('close', over)
        else over()
        callback(...made)
      })
      // Added only now, because an invalid target throws above. The callback always comes later.
      this.#open.add(end)
    }
  }

  /** Cuts all connections. Pending and later ones fail. */
  cutAll(): void {
    this.#cut = true
    for (const end of this.#open) end.abort()
  }
}

/**
 * RFC 6066, 3: an address is not a server name. undici sends one for a proxy that is named by its address, which Node
 * refuses from version 26 on. Without a server name, the certificate must be for the address.
 */
function namedByDns(target: buildConnector.Options): buildConnector.Options {
  const { servername, ...unnamed } = target
  // undici also passes null for none.
  return isIP((servername ?? '').replace(/^\[|\]$/g, '')) === 0 ? target : unnamed
}
