import type { Message } from '@bufbuild/protobuf'
import {
  type Metadata,
  type ServerDuplexStream,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Connection } from './connection.js'
import type { ConnectionRegistry } from './connections.js'
import { grpcError } from './refusal.js'
import { type Handler, MALFORMED, pathOf, type Reset, type Service, TOO_LARGE } from './service.js'

/** The usual limit of servers of other gRPC libraries. */
const MAX_METADATA_BYTES = 16 * 1024
const SECURITY_HEADER = 'workload.spiffe.io'

type GrpcCall =
  | ServerUnaryCall<Message, Buffer>
  | ServerWritableStream<Message, Buffer>
  | ServerDuplexStream<Message, Buffer>

type Respond = sendUnaryData<Buffer>

/** RFC 9113 7, REFUSED_STREAM; for gRPC: Unavailable. */
const REFUSED_STREAM = 7

/** A call, as HTTP/2 sees it. */
export interface RawStream {
  /** With a code other than 0, unsent data is dropped. */
  close(code: number): void
}

/**
 * Checks every call of every service before its handler: finds the caller, refuses the call if necessary, and marks its
 * connection as busy until the call ends.
 */
export class Admission {
  readonly #services = new Map<string, Service>()
  /** Open calls of services with a limit of their own, by connection. */
  readonly #open = new WeakMap<Connection, Map<Service, number>>()
  readonly #mostStreams: number
  /** The call that is beginning now. */
  #beginning: RawStream | null = null

  constructor(
    services: readonly Service[],
    private readonly connections: ConnectionRegistry,
    private readonly events: Pick<ApiEvents, 'callBegun' | 'unaryEnded'>,
  ) {
    for (const service of services) {
      for (const method of service.definition.methods) this.#services.set(pathOf(method), service)
    }
    this.#mostStreams = Math.max(...services.map(({ streamsPerConnection }) => streamsPerConnection))
  }

  /**
   * Intercepts each call at its start. grpc-js ends some calls by itself before their request is complete (deadline, second
   * message), but would still pass them to a handler when the client half-closes, after the only `cancelled` event. The
   * interceptor passes nothing on after that event.
   */
  readonly interceptor: ServerInterceptor = (method, call) => {
    const service = this.#services.get(method.path)
    const connection = this.connections.of(call.getPeer())
    // HTTP/2 itself enforces the largest limit.
    if (!service || !connection || service.streamsPerConnection >= this.#mostStreams) {
      return new ServerInterceptingCall(call)
    }
    if (this.#count(connection, service, 1) <= service.streamsPerConnection) {
      const listener = new ServerListenerBuilder().withOnCancel(() => void this.#count(connection, service, -1)).build()
      return new ServerInterceptingCall(call, { start: (next) => next(listener) })
    }
    this.#count(connection, service, -1)
    const most = `more than ${service.streamsPerConnection} calls of ${service.definition.typeName} are open on this connection`
    const error = statusWith(status.UNAVAILABLE, `${most}; end some first`)
    const refuse = new ServerListenerBuilder().withOnReceiveMetadata(() => intercepting.sendStatus(error)).build()
    const intercepting = new ServerInterceptingCall(call, { start: (next) => next(refuse) })
    return intercepting
  }

  /** Lets grpc-js begin a call. For calls with streamed requests it calls the handler within `begin`. */
  readonly begin = (stream: RawStream, begin: () => void): void => {
    this.#beginning = stream
    try {
      begin()
    } finally {
      this.#beginning = null
    }
  }

  /** The handlers of a service in the form of grpc-js. */
  handlersOf(service: Service): Record<string, UntypedHandleCall> {
    const handlers: Record<string, UntypedHandleCall> = {}
    for (const { name, methodKind } of service.definition.methods) {
      const unary = (call: ServerUnaryCall<Message, Buffer>, respond: Respond) =>
        this.#admit(service, name, call, respond)
      const streaming = (call: Exclude<GrpcCall, ServerUnaryCall<Message, Buffer>>) =>
        this.#admit(service, name, call, (error) => void call.emit('error', error))
      handlers[name] = methodKind === 'unary' ? unary : streaming
    }
    return handlers
  }

  #admit(service: Service, name: string, call: GrpcCall, respond: Respond): void {
    const connection = this.connections.of(call.getPeer())
    const workload = connection?.workload
    if (service.callers === 'identified') this.events.callBegun(service.definition.typeName)
    const refused = refusalOf(service, name, call, connection)
    if (refused) {
      if (service.callers === 'identified') this.events.unaryEnded(name as Method, status[refused.code])
      respond(refused)
      return
    }
    if (connection) {
      this.connections.callStarted(connection)
      // grpc-js emits it at every end of a call.
      const running: { once(event: 'cancelled', ended: () => void): unknown } = call
      running.once('cancelled', () => this.connections.callEnded(connection))
    }
    if (service.callers === 'anybody') run(service.handlers[name], call, respond)
    else if (workload && connection)
      run(service.handlers[name], call, respond, workload, connection, this.#resetOf(call))
  }

  #resetOf(call: GrpcCall): Reset {
    const stream = this.#beginning
    // After the beginning of a call the raw stream is not known, and no streaming has started.
    if (!stream) return () => void call.emit('error', statusWith(status.UNAVAILABLE, 'the call was ended'))
    return () => stream.close(REFUSED_STREAM)
  }

  #count(connection: Connection, service: Service, by: 1 | -1): number {
    const counts = this.#open.get(connection) ?? new Map<Service, number>()
    this.#open.set(connection, counts)
    const count = (counts.get(service) ?? 0) + by
    counts.set(service, count)
    return count
  }
}

function run<Who extends readonly unknown[]>(
  handler: Handler<Who> | undefined,
  call: GrpcCall,
  respond: Respond,
  ...who: Who
): void {
  if (!handler) throw new TypeError('a call without a handler was admitted')
  if ('unary' in handler) handler.unary(call as ServerUnaryCall<Message, Buffer>, respond, ...who)
  else if ('stream' in handler) handler.stream(call as ServerWritableStream<Message, Buffer>, ...who)
  else handler.duplex(call as ServerDuplexStream<Message, Buffer>, ...who)
}

/** Why a call is refused before any other check; null: it is not. */
function refusalOf(
  service: Service,
  name: string,
  call: GrpcCall,
  connection: Connection | undefined,
): (Error & StatusObject) | null {
  const request = 'request' in call ? call.request : null
  const tooLarge = `the request is larger than ${service.maxMessageBytes} bytes; send less`
  if (service.callers === 'anybody') {
    return request === TOO_LARGE ? statusWith(status.RESOURCE_EXHAUSTED, tooLarge) : null
  }
  const values = service.requiresHeader ? call.metadata.get(SECURITY_HEADER) : ['true']
  // Workload Endpoint 6: exactly one value, `true`, case-sensitive; checked before any other work.
  if (values.length !== 1 || values[0] !== 'true') {
    return invalid(`the metadata \`${SECURITY_HEADER}: true\` is missing (security header)`)
  }
  if (sizeOf(call.metadata) > MAX_METADATA_BYTES) {
    return invalid(`the metadata of the call is larger than ${MAX_METADATA_BYTES / 1024} KiB; send less`)
  }
  if (request === TOO_LARGE) return statusWith(status.RESOURCE_EXHAUSTED, tooLarge)
  if (request === MALFORMED) return invalid('the request cannot be read')
  if (!connection) {
    return grpcError({ code: 'agent.stopping', message: 'the connection is closing; connect again' })
  }
  if ('error' in connection.caller) return grpcError(connection.caller.error)
  if (!connection.workload) return grpcError({ code: 'internal', message: 'the connection has no workload' })
  if (!(name in service.handlers)) return statusWith(status.UNIMPLEMENTED, `${name} is not implemented`)
  return null
}

function sizeOf(metadata: Metadata): number {
  let size = 0
  for (const [key, values] of Object.entries(metadata.toJSON())) {
    for (const value of values) size += key.length + value.length
  }
  return size
}

function invalid(message: string): Error & StatusObject {
  return grpcError({ code: 'request.invalid', message })
}

function statusWith(code: status, message: string): Error & StatusObject {
  return { ...invalid(message), code }
}
