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

/** Ends only this call with streamed requests, at once, even if the client has not read everything. */
export type Reset = () => void

/** The arguments of a handler that describe an identified caller. */
export type Identified = readonly [workload: Workload, connection: Connection, reset: Reset]

interface ServiceLimits {
  /** Limit of a request. */
  readonly maxMessageBytes: number
  /** Limit of open calls of this service on one connection. */
  readonly streamsPerConnection: number
}

/** One service on the socket: a row of the server's table. */
export type Service = ServiceLimits & {
  readonly definition: DescService
} & (
    | {
        /** Calls of unidentified callers are refused. */
        readonly callers: 'identified'
        /** Each call must have the metadata `workload.spiffe.io: true` (Workload Endpoint 6). */
        readonly requiresHeader: boolean
        /** By name of the method; missing ones are answered with Unimplemented. */
        readonly handlers: Readonly<Record<string, Handler<Identified>>>
      }
    | {
        /** Its answers do not depend on the caller. */
        readonly callers: 'anybody'
        readonly handlers: Readonly<Record<string, Handler<readonly []>>>
      }
  )

/** The path of a method: `/SpiffeWorkloadAPI/FetchX509SVID`, with the package in front if there is one. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

/** Drops unknown fields, because a request is kept as long as its call. */
const WITHOUT_UNKNOWN = { readUnknownFields: false }

/** Replaces a request that cannot be parsed; admission refuses the call when it knows the caller. */
export const MALFORMED: Message = { $typeName: 'malformed' }
/** Replaces a request that is larger than its service allows. */
export const TOO_LARGE: Message = { $typeName: 'too large' }

/**
 * A service in the form of grpc-js: requests are parsed here, responses are already encoded. For services without
 * identification a malformed request never reaches a handler: grpc-js answers Internal.
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
