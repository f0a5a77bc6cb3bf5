import { type DescMethod, type DescService, fromBinary, type Message } from '@bufbuild/protobuf'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'

/** The path of a method: `/SpiffeWorkloadAPI/FetchX509SVID`, or with the package in front. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

/** A service as grpc-js wants it: requests are parsed, responses come encoded. */
export function definitionOf(service: DescService): ServiceDefinition {
  const definition: Record<string, MethodDefinition<Message, Buffer>> = {}
  for (const method of service.methods) {
    definition[method.name] = {
      path: pathOf(method),
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: () => {
        throw new TypeError('a server sends no requests')
      },
      requestDeserialize: (bytes) => fromBinary(method.input, bytes),
      responseSerialize: (message) => message,
      responseDeserialize: (bytes) => bytes,
    }
  }
  return definition
}
