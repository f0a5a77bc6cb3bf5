import type { BundleSet } from '../identity/trust-bundle.js'
import type { ApiEvents } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { SvidStore } from '../svids/store.js'
import { type View, Views } from '../svids/view.js'
import type { Connection } from './connection.js'
import { decide, decideBundles } from './decision.js'
import type { Dialect, JwtBundles } from './dialects/encode.js'
import type { Handler, Identified } from './service.js'
import { type Outgoing, ResponseStream, type StreamKind } from './stream.js'
import type { Workload } from './workload.js'

export interface StreamsOptions {
  readonly store: SvidStore
  readonly clock: Clock
  readonly events: ApiEvents
  /** Read at each decision and each message, like `stalledMs`: a reload may change them. */
  readonly holdMs: number
  readonly stalledMs: number
  /** Callers without an identity get bundles too. */
  readonly allowUnauthenticatedVerifiers: boolean
}

/** Opens streams of both dialects and ends them all when the agent stops. */
export class Streams {
  readonly #views = new Views()
  readonly #open = new Set<ResponseStream>()
  #stopping = false
  #jwtBundles: JwtBundles | null = null

  constructor(private readonly options: StreamsOptions) {}

  get stopping(): boolean {
    return this.#stopping
  }

  get size(): number {
    return this.#open.size
  }

  /** X.509-SVIDs with their bundles. */
  x509Svids(dialect: Dialect): StreamKind {
    return {
      method: 'FetchX509SVID',
      dialect: dialect.name,
      decide,
      content: (snapshot, ids) => this.#views.of(snapshot, ids),
      encode: (content) => dialect.x509Svids(content as View),
      serves: (to, content) => this.options.events.servesX509(to, (content as View).svids),
    }
  }

  x509Bundles(dialect: Dialect): StreamKind {
    return {
      method: 'FetchX509Bundles',
      dialect: dialect.name,
      decide: (input) => {
        const { store, allowUnauthenticatedVerifiers: openToAll } = this.options
        return decideBundles({ ...input, openToAll, available: store.current.bundles.size > 0 })
      },
      content: (snapshot) => snapshot.bundles,
      encode: (content) => dialect.x509Bundles(content as BundleSet),
    }
  }

  jwtBundles(dialect: Dialect): StreamKind {
    return {
      method: 'FetchJWTBundles',
      dialect: dialect.name,
      decide: (input) => {
        const { store, allowUnauthenticatedVerifiers: openToAll } = this.options
        const { jwtKeys, bundles } = store.current
        return decideBundles({ ...input, openToAll, available: jwtKeys.length > 0 && bundles.size > 0 })
      },
      content: (snapshot) => this.#jwtBundlesOf(snapshot),
      encode: (content) => dialect.jwtBundles(content as JwtBundles),
    }
  }

  #jwtBundlesOf({ bundles, jwtKeys }: Snapshot): JwtBundles {
    const trustDomains = [...bundles.keys()]
    const last = this.#jwtBundles
    if (last?.keys !== jwtKeys || last.trustDomains.join() !== trustDomains.join()) {
      this.#jwtBundles = { trustDomains, keys: jwtKeys }
    }
    return this.#jwtBundles ?? { trustDomains, keys: jwtKeys }
  }

  /** Answers the calls of one method with streams of this kind. */
  handler(kind: StreamKind): Handler<Identified> {
    return { stream: (call, workload, connection) => void this.serve(call, kind, workload, connection) }
  }

  /** Serves a streaming call until one side ends it. `onStalled`: called if the client does not read. */
  serve(
    call: Outgoing,
    kind: StreamKind,
    workload: Workload,
    connection: Connection,
    onStalled: () => void = () => connection.close('stalled'),
  ): ResponseStream {
    const { store, clock, events } = this.options
    const times = this.options
    const stream: ResponseStream = new ResponseStream(call, {
      workload,
      kind,
      snapshot: () => store.current,
      stopping: () => this.#stopping,
      clock,
      events,
      times,
      onStalled,
      onEnd: () => {
        this.#open.delete(stream)
        connection.streams.delete(stream)
      },
    })
    this.#open.add(stream)
    connection.streams.add(stream)
    stream.start()
    return stream
  }

  /** The configuration changed: every open stream decides again. */
  reconsider(): void {
    for (const stream of [...this.#open]) stream.evaluate()
  }

  /**
   * Ends every stream with Unavailable, so that clients retry (Canceled would end go-spiffe's watches for good).
   */
  stop(): void {
    this.#stopping = true
    this.options.events.stopping(this.#open.size)
    for (const stream of [...this.#open]) stream.evaluate()
  }
}
