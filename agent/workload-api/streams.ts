import type { Message } from '@bufbuild/protobuf'
import { type Metadata, type ServerWritableStream, status } from '@grpc/grpc-js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { ApiEvents } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { IdentityStore } from '../svids/store.js'
import { type View, Views } from '../svids/view.js'
import { bundlesVerdict, type Refusal, verdict } from './decision.js'
import type { Dialect, JwtBundles, RunningCall } from './dialects/dialect.js'
import { MALFORMED } from './grpc-definition.js'
import { grpcError } from './refusal.js'
import type { Session, Sessions } from './sessions.js'
import { Pump, type Source } from './stream.js'

export interface StreamsOptions {
  readonly store: IdentityStore
  readonly sessions: Sessions
  readonly clock: Clock
  readonly events: ApiEvents
  readonly holdMs: number
  readonly stalledMs: number
  /** Bundles also for callers without an identity. */
  readonly allowUnauthenticatedVerifiers: boolean
  /** Tells the connection registry that a call runs: the connection is not idle. */
  readonly calls: { callStarted(id: string): void; callEnded(id: string): void }
}

/** Opens streams of both dialects and ends them all when the agent stops. */
export class Streams {
  readonly #views = new Views()
  readonly #pumps = new Set<Pump>()
  #stopping = false
  #jwtBundles: JwtBundles | null = null

  constructor(private readonly options: StreamsOptions) {}

  get size(): number {
    return this.#pumps.size
  }

  /** X.509-SVIDs with their bundles. */
  x509Svids(dialect: Dialect): Source {
    return {
      method: 'FetchX509SVID',
      judge: verdict,
      content: (snapshot, ids) => this.#views.of(snapshot, ids),
      encode: (content) => dialect.x509Svids(content as View),
    }
  }

  x509Bundles(dialect: Dialect): Source {
    const openToAll = this.options.allowUnauthenticatedVerifiers
    return {
      method: 'FetchX509Bundles',
      judge: (c) => bundlesVerdict({ ...c, openToAll, available: this.options.store.current.bundles.size > 0 }),
      content: (snapshot) => snapshot.bundles,
      encode: (content) => dialect.x509Bundles(content as BundleSet),
    }
  }

  jwtBundles(dialect: Dialect): Source {
    const openToAll = this.options.allowUnauthenticatedVerifiers
    const { store } = this.options
    const available = () => store.current.jwtKeys.length > 0 && store.current.bundles.size > 0
    return {
      method: 'FetchJWTBundles',
      judge: (c) => bundlesVerdict({ ...c, openToAll, available: available() }),
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

  /** A call of another service runs: the connection is not idle. */
  count(call: RunningCall): void {
    const { calls } = this.options
    const peer = call.getPeer()
    calls.callStarted(peer)
    call.once('cancelled', () => calls.callEnded(peer))
  }

  /** Serves a streaming call until one side ends it. */
  serve(call: ServerWritableStream<Message, Buffer>, dialect: Dialect, source: Source): void {
    const { sessions, store, clock, events, holdMs, stalledMs, calls } = this.options
    const peer = call.getPeer()
    const session = sessions.of(peer)
    const refusal = refusalOfCall(call, dialect, session)
    if (refusal || session?.kind !== 'known') {
      const error = grpcError(refusal ?? { code: 'internal', message: 'the connection is unknown' })
      events.unaryEnded(source.method, status[error.code])
      call.emit('error', error)
      return
    }
    calls.callStarted(peer)
    const pump: Pump = new Pump(call, {
      feed: session.feed,
      source,
      snapshot: () => store.current,
      stopping: () => this.#stopping,
      clock,
      events,
      holdMs,
      stalledMs,
      onStalled: () => session.close('stalled'),
      onEnd: () => {
        this.#pumps.delete(pump)
        calls.callEnded(peer)
      },
    })
    this.#pumps.add(pump)
    pump.start()
  }

  /** Ends every stream with Unavailable, so that clients come back (Canceled would end go-spiffe's watches for good). */
  stop(): void {
    this.#stopping = true
    this.options.events.stopping(this.#pumps.size)
    for (const pump of [...this.#pumps]) pump.evaluate()
  }
}

/** What servers of other gRPC libraries take at most. */
const MAX_METADATA_BYTES = 16 * 1024

function sizeOf(metadata: Metadata): number {
  const values = Object.entries(metadata.toJSON()).flatMap(([key, all]) =>
    all.map((value) => key.length + value.length),
  )
  return values.reduce((sum, length) => sum + length, 0)
}

/** Why a call is refused before anything else is looked at. */
export function refusalOfCall(
  { metadata, request }: { readonly metadata: Metadata; readonly request: Message },
  dialect: Dialect,
  session: Session | undefined,
): Refusal | null {
  if (dialect.requiresHeader) {
    const values = metadata.get('workload.spiffe.io')
    // Workload Endpoint 6: exactly one value, `true`, case-sensitive; checked before any other work.
    if (values.length !== 1 || values[0] !== 'true') {
      return {
        code: 'request.invalid',
        message: 'the metadata `workload.spiffe.io: true` is missing (security header)',
      }
    }
  }
  if (sizeOf(metadata) > MAX_METADATA_BYTES) {
    const limit = `${MAX_METADATA_BYTES / 1024} KiB`
    return { code: 'request.invalid', message: `the metadata of the call is larger than ${limit}; send less` }
  }
  if (request === MALFORMED) return { code: 'request.invalid', message: 'the request cannot be read' }
  if (session === undefined) return { code: 'agent.stopping', message: 'the connection is closing; connect again' }
  return session.kind === 'unknown' ? { code: session.error.code, message: session.error.message } : null
}
