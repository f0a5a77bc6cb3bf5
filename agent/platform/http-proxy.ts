import { type Dispatcher, Pool } from 'undici'

/** The proxy could not be reached or failed, so that the server behind it was not reached. */
export class ProxyFailure extends Error {
  override readonly name = 'ProxyFailure'
  constructor(
    /** What the proxy answered; null: nothing. */
    readonly status: number | null,
    cause?: unknown,
  ) {
    super('the proxy failed', { cause })
  }
}

/** Connections to a proxy. Its failures are ProxyFailures, to distinguish them from those of the servers behind it. */
export function proxyPool(origin: URL, options: Pool.Options): Pool {
  const pool = new Pool(origin, options)
  const connect = pool.connect.bind(pool)
  const connectOrSay = async (request: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> => {
    const made = await connect(request).catch((error: unknown) => {
      // An abort by the caller is not a failure of the proxy.
      throw request.signal instanceof AbortSignal && request.signal.aborted ? error : new ProxyFailure(null, error)
    })
    if (made.statusCode === 200) return made
    made.socket.on('error', () => undefined).destroy()
    throw new ProxyFailure(made.statusCode)
  }
  return Object.assign(pool, { connect: connectOrSay })
}

/** A proxy as messages show it: without its credentials. */
export function shownProxy(url: string): string {
  return new URL(url).origin
}
