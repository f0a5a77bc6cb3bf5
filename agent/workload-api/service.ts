import { type DescMethod, type DescService, fromBinary, type Message } from '@bufbuild/protobuf'
import type {
  MethodDefinition,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
} from '@grpc/grpc-js'
import type { Connection } from './connection.js'
import type { Workload } from './workload.js'

export interface UnaryHandler<Who extends readonly unknown[]> {
  readonly unary: (call: ServerUnaryCall<Message, Buffer>, respond: sendUnaryData<Buffer>, ...who: Who) => void
}

/** Answers the calls of one method; `Who` are the arguments that describe the caller. */
export type Handler<Who extends readonly unknown[]> =
  | UnaryHandler<Who>
  | { readonly stream: (call: ServerWritableStream<Message, Buffer>, ...who: Who) => void }
  | { readonly duplex: (call: ServerDuplexStream<Message, Buffer>, ...who: Who) => void }

/** Ends a call whose requests are streamed at once and alone, whatever the client has not read. */
export type Reset = () => void

/** What a handler knows of an identified caller. */
export type Identified = readonly [workload: Workload, connection: Connection, reset: Reset]

interface ServiceLimits {
  /** The largest request. */
  readonly maxMessageBytes: number
  /** Calls of this service that may be open on one connection. */
  readonly streamsPerConnection: number
}

/** One service on the socket: a row of the server's table. */
export type Service = ServiceLimits & {
  readonly definition: DescService
} & (
    | {
        /** Each call is for a caller that the kernel named; others are refused. */
        readonly callers: 'identified'
        /** Each call must have the metadata `workload.spiffe.io: true` (Workload Endpoint 6). */
        readonly requiresHeader: boolean
        /** By the name of the method; what is missing is answered with Unimplemented. */
        readonly handlers: Readonly<Record<string, Handler<Identified>>>
      }
    | {
        /** Nothing that it answers depends on the caller. */
        readonly callers: 'anybody'
        readonly handlers: Readonly<Record<string, Handler<readonly []>>>
      }
  )

/** The path of a method: `/SpiffeWorkloadAPI/FetchX509SVID`, or with the package in front. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

/** A request is kept as long as its call: only what the agent knows of it. */
const WITHOUT_UNKNOWN = { readUnknownFields: false }

/** Stands for a request that is no message of its type; the call is refused once it is known who calls. */
export const MALFORMED: Message = { $typeName: 'malformed' }
/** Stands for a request that is larger than its service allows. */
export const TOO_LARGE: Message = { $typeName: 'too large' }

/**
 * A service as grpc-js wants it: requests are parsed, responses come encoded. For anybody's service a malformed request
 * never reaches a handler: grpc-js answers Internal.
 */
export function definitionOf({ definition, maxMessageBytes, callers }: Service): ServiceDefinition {
  const methods: Record<string, MethodDefinition<Message, Buffer>> = {}
  for (const method of definition.methods) {
    methods[method.name] = {
      path: pathOf(method),
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: () => {
        throw new TypeError('a server sends no requests')
      },
      requestDeserialize: (bytes) => {
        if (bytes.length > maxMessageBytes) return TOO_LARGE
        try {
          return fromBinary(method.input, bytes, WITHOUT_UNKNOWN)
        } catch (error) {
          if (callers === 'identified') return MALFORMED
          throw error
        }
      },
      responseSerialize: (message) => message,
      responseDeserialize: (bytes) => bytes,
    }
  }
  return methods
}
