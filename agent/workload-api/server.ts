import type { Socket } from 'node:net'
import type { Message } from '@bufbuild/protobuf'
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import { CallGate } from './call-gate.js'
import type { Connection } from './connection.js'
import { authsecDialect } from './dialects/authsec.js'
import type { Dialect, RunningCall } from './dialects/dialect.js'
import { spiffeDialect } from './dialects/spiffe.js'
import type { Fairness } from './fairness.js'
import { definitionOf, MALFORMED } from './grpc-definition.js'
import { grpcHealthService, type Readiness } from './grpc-health.js'
import type { JwtCalls } from './jwt-calls.js'
import { openConnection, type SocketPair } from './open-connection.js'
import { reflectionServices } from './reflection.js'
import { grpcError } from './refusal.js'
import type { Sessions } from './sessions.js'
import { refusalOfCall, type Streams } from './streams.js'

const DIALECTS: readonly Dialect[] = [spiffeDialect, authsecDialect]
/** Turns of the event loop in which the last words of streams are written, ahead of GOAWAY. */
const FLUSH_TURNS = 3
/** How long calls that are not ours to end (reflection, health) may go on after a stop. */
const GRACE_MS = 1_000

export interface GrpcServerOptions {
  readonly sessions: Sessions
  readonly streams: Streams
  readonly jwt: JwtCalls
  readonly events: ApiEvents
  readonly clock: Clock
  readonly readiness: Readiness
  readonly limits: { readonly streamsPerConnection: number; readonly maxMessageBytes: number }
  readonly socketPair: SocketPair
  readonly fairness: Fairness
  /** Tells the connection registry that a call waits: the connection is not idle. */
  readonly calls: { callStarted(id: string): void; callEnded(id: string): void }
}

/** Both dialects, health and reflection, on connections whose callers are known. */
export class GrpcServer {
  readonly #server: Server
  readonly #gate: CallGate
  /** Connections that have said nothing yet, of which HTTP/2 knows nothing. */
  readonly #silent = new Set<Socket>()
  #stopping = false

  constructor(private readonly options: GrpcServerOptions) {
    this.#server = new Server({
      'grpc.enable_channelz': 0,
      'grpc.max_concurrent_streams': options.limits.streamsPerConnection,
      'grpc.max_receive_message_length': options.limits.maxMessageBytes,
      // A frozen client is found out; its connection is dropped.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
      'grpc-node.max_session_memory': 10,
      interceptors: [endedIsEnded],
    })
    for (const dialect of DIALECTS) {
      // Workload Endpoint 6: the header is looked at before anything else, a malformed message included.
      this.#server.addService(definitionOf(dialect.service, MALFORMED), this.#handlers(dialect))
    }
    const began = (call: RunningCall) => options.streams.count(call)
    const others = [grpcHealthService(options.readiness, began), ...reflectionServices(DIALECTS, began)]
    for (const { definition, handlers } of others) {
      this.#server.addService(definition, handlers)
    }
    this.#gate = new CallGate(this.#server, options.fairness, options.calls, options.clock)
  }

  /** Takes over an accepted connection: from here on its session answers calls. */
  accept(connection: Connection): void {
    const { sessions } = this.options
    const { id, caller, socket } = connection
    if (this.#stopping) {
      connection.close('stopping')
      if (!('error' in caller)) caller.process[Symbol.dispose]()
      return
    }
    sessions.opened(id, caller, (reason) => connection.close(reason))
    socket.once('close', () => {
      this.#silent.delete(socket)
      sessions.closed(id)
    })
    // A client that is gone already: there is no more to come than its `close`, if that.
    if (socket.closed) sessions.closed(id)
    else if (!socket.destroyed) this.#open(connection)
  }

  #open(connection: Connection): void {
    const { socket } = connection
    this.#silent.add(socket)
    openConnection(socket, this.options.socketPair, (shown) => {
      this.#silent.delete(socket)
      if (this.#stopping) socket.destroy()
      else this.#gate.open(connection, shown)
    })
  }

  /** Unavailable on every stream, then GOAWAY; whoever does not go within the grace is cut off. */
  async stop(): Promise<void> {
    const { jwt, streams, sessions, clock } = this.options
    this.#stopping = true
    jwt.stop()
    streams.stop()
    for (let turn = 0; turn < FLUSH_TURNS; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
    // It says GOAWAY. When it calls back differs between versions of Node, and without channelz it could force nobody:
    // the connections themselves are watched and closed.
    this.#server.tryShutdown(() => undefined)
    for (const socket of this.#silent) socket.destroy()
    using _grace = clock.after(GRACE_MS, () => sessions.closeAll('stopping'))
    await sessions.emptied()
    this.#gate[Symbol.dispose]()
  }

  #handlers(dialect: Dialect): Record<string, UntypedHandleCall> {
    const handlers: Record<string, UntypedHandleCall> = {}
    const { streams, jwt, sessions, events } = this.options
    const sources = {
      FetchX509SVID: streams.x509Svids(dialect),
      FetchX509Bundles: streams.x509Bundles(dialect),
      FetchJWTBundles: streams.jwtBundles(dialect),
    }
    const calls = { FetchJWTSVID: jwt.fetch(dialect), ValidateJWTSVID: jwt.validate(dialect) }
    for (const { name, methodKind } of dialect.service.methods) {
      const method = name as Method
      const source = method in sources ? sources[method as keyof typeof sources] : null
      const unimplemented = (call: ServerUnaryCall<Message, Buffer> | ServerWritableStream<Message, Buffer>) => {
        const refusal = refusalOfCall(call, dialect, sessions.of(call.getPeer()))
        const error = refusal
          ? grpcError(refusal)
          : {
              ...grpcError({ code: 'request.invalid', message: `${name} is not implemented` }),
              code: status.UNIMPLEMENTED,
            }
        events.unaryEnded(method, status[error.code])
        return error
      }
      const streaming: handleServerStreamingCall<Message, Buffer> = (call) => {
        if (source) streams.serve(call, dialect, source)
        else call.emit('error', unimplemented(call))
      }
      const unary: handleUnaryCall<Message, Buffer> =
        method in calls ? calls[method as keyof typeof calls] : (call, answer) => answer(unimplemented(call))
      handlers[name] = methodKind === 'unary' ? unary : streaming
    }
    return handlers
  }
}

/**
 * grpc-js ends some calls by itself before they are asked whole (deadline, second message), and would still hand them to
 * a handler when the client half-closes; `cancelled`, announced before, would never come again. What listens in between
 * lets nothing through after it.
 */
const endedIsEnded: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call)
