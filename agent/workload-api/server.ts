import type { Socket } from 'node:net'
import { Server } from '@grpc/grpc-js'
import { Health } from '../../proto/gen/grpc/health_pb.js'
import type { ApiEvents } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import { Admission } from './admission.js'
import { CallGate } from './call-gate.js'
import type { Connection } from './connection.js'
import type { ConnectionRegistry } from './connections.js'
import type { Fairness } from './fairness.js'
import { healthHandlers, type Readiness } from './grpc-health.js'
import type { JwtCalls } from './jwt-calls.js'
import { openConnection, type SocketPair } from './open-connection.js'
import { reflectionServices } from './reflection.js'
import { definitionOf, type Service } from './service.js'
import type { Streams } from './streams.js'

/** Iterations of the event loop for writing the status of ended streams before GOAWAY. */
const FLUSH_TURNS = 3
/** How long other calls (reflection, health) may continue after a stop. */
const GRACE_MS = 1_000

export interface GrpcServerOptions {
  /** The services; health and reflection are added. */
  readonly services: readonly Service[]
  readonly connections: ConnectionRegistry
  readonly streams: Streams
  readonly jwt: JwtCalls
  readonly events: ApiEvents
  readonly clock: Clock
  readonly readiness: Readiness
  readonly socketPair: SocketPair
  readonly fairness: Fairness
}

/** gRPC services on connections whose callers are identified. */
export class GrpcServer {
  readonly #server: Server
  readonly #gate: CallGate
  /** Connections that have sent nothing yet and have no HTTP/2 session. */
  readonly #silent = new Set<Socket>()
  #stopping = false

  constructor(private readonly options: GrpcServerOptions) {
    const services = [...options.services, ...helpers(options)]
    const admission = new Admission(services, options.connections, options.events)
    this.#server = new Server({
      'grpc.enable_channelz': 0,
      // grpc-js has one limit for the whole server; admission enforces the lower limits of services.
      'grpc.max_concurrent_streams': Math.max(...services.map(({ streamsPerConnection }) => streamsPerConnection)),
      'grpc.max_receive_message_length': Math.max(...services.map(({ maxMessageBytes }) => maxMessageBytes)),
      // Detects a frozen client and drops its connection.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
      'grpc-node.max_session_memory': 10,
      interceptors: [admission.interceptor],
    })
    for (const service of services) this.#server.addService(definitionOf(service), admission.handlersOf(service))
    this.#gate = new CallGate(this.#server, options.fairness, options.connections, options.clock, admission.begin)
  }

  /** Starts serving a connection that is in the registry. */
  accept(connection: Connection): void {
    const { socket } = connection
    if (socket.destroyed) return
    this.#silent.add(socket)
    socket.once('close', () => this.#silent.delete(socket))
    openConnection(socket, this.options.socketPair, (shown) => {
      this.#silent.delete(socket)
      if (this.#stopping) socket.destroy()
      else this.#gate.open(connection, shown)
    })
  }

  /** Ends every stream with Unavailable, sends GOAWAY, and closes connections that are still open after the grace. */
  async stop(): Promise<void> {
    const { jwt, streams, connections, clock } = this.options
    this.#stopping = true
    connections.stop()
    jwt.stop()
    streams.stop()
    for (let turn = 0; turn < FLUSH_TURNS; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
    // Sends GOAWAY. The time of its callback differs between versions of Node, and without channelz it closes no connection
    // by force, so the connections themselves are watched and closed.
    this.#server.tryShutdown(() => undefined)
    for (const socket of this.#silent) socket.destroy()
    using _grace = clock.after(GRACE_MS, () => connections.closeAll('stopping'))
    await connections.emptied()
    this.#gate[Symbol.dispose]()
  }
}

/** Health and reflection, for every caller, with the largest limits of the other services. */
function helpers({ services, readiness }: GrpcServerOptions): readonly Service[] {
  const definitions = services.map(({ definition }) => definition)
  const limits = {
    maxMessageBytes: Math.min(...services.map(({ maxMessageBytes }) => maxMessageBytes)),
    streamsPerConnection: Math.min(...services.map(({ streamsPerConnection }) => streamsPerConnection)),
  }
  const health = {
    definition: Health,
    handlers: healthHandlers(
      readiness,
      definitions.map(({ typeName }) => typeName),
    ),
  }
  return [health, ...reflectionServices([...definitions, Health])].map((one) => ({
    ...limits,
    ...one,
    callers: 'anybody' as const,
  }))
}
