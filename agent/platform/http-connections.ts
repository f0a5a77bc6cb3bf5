import { isIP } from 'node:net'
import { buildConnector, errors } from 'undici'

/**
 * Of every TLS connection: whom it is made to is verified, whatever NODE_TLS_REJECT_UNAUTHORIZED says, and proven each
 * time, as no session is resumed.
 */
export const ALWAYS = { rejectUnauthorized: true, maxCachedSessions: 0 } as const

/**
 * Makes connections, so that all of them can be cut at once, also those that nobody has got yet.
 *
 * Each has a signal of its own: Node never takes its listener off a socket's signal, so that one signal for all of
 * them would keep every socket, closed or refused, for as long as the signal lives.
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
        // A tunnel outlives its request to the proxy, and then only its socket tells when it is over.
        if (made[1]) made[1].once('close', over)
        else over()
        callback(...made)
      })
      // Not before: a target that no connection can be made to is an exception. The callback always comes later.
      this.#open.add(end)
    }
  }

  /** Those that are being made fail, and so do later ones. */
  cutAll(): void {
    this.#cut = true
    for (const end of this.#open) end.abort()
  }
}

/**
 * RFC 6066, 3: an address is no server name. The library takes one for a proxy that is named by its address, which Node
 * refuses from version 26 on; without it, the certificate must be for the address.
 */
function namedByDns(target: buildConnector.Options): buildConnector.Options {
  const { servername, ...unnamed } = target
  // The library says null as well where there is none.
  return isIP((servername ?? '').replace(/^\[|\]$/g, '')) === 0 ? target : unnamed
}
