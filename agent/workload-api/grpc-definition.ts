import { type DescMethod, type DescService, fromBinary, type Message } from '@bufbuild/protobuf'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'

/** The path of a method: `/SpiffeWorkloadAPI/FetchX509SVID`, or with the package in front. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

/** Stands for a request that is no message of its type, where the handler is to say so. */
export const MALFORMED: Message = { $typeName: 'malformed' }

/**
 * A service as grpc-js wants it: requests are parsed, responses come encoded. A malformed request never reaches a
 * handler (grpc-js answers Internal), unless something else is made of it.
 */
export function definitionOf(service: DescService, malformed: Message | null = null): ServiceDefinition {
  const definition: Record<string, MethodDefinition<Message, Buffer>> = {}
  for (const method of service.methods) {
    definition[method.name] = {
      path: pathOf(method),
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: () => {
        throw new TypeError('a server sends no requests')
      },
      requestDeserialize: (bytes) => {
        try {
          return fromBinary(method.input, bytes)
        } catch (error) {
          if (malformed) return malformed
          throw error
        }
      },
      responseSerialize: (message) => message,
      responseDeserialize: (bytes) => bytes,
    }
  }
  return definition
}
