import { create, type DescFile, type DescService, type Message, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { type ServerDuplexStream, status } from '@grpc/grpc-js'
import { Health } from '../../proto/gen/grpc/health_pb.js'
import * as v1 from '../../proto/gen/grpc/reflection_v1_pb.js'
import * as v1alpha from '../../proto/gen/grpc/reflection_v1alpha_pb.js'
import type { Dialect, RunningCall, ServiceRegistration } from './dialects/dialect.js'
import { definitionOf } from './grpc-definition.js'

type Request = v1.ServerReflectionRequest | v1alpha.ServerReflectionRequest
type Answer = NonNullable<v1.ServerReflectionResponse['messageResponse']>

/**
 * Server reflection, v1 and v1alpha: which services and messages there are. No security header is asked for. One answer
 * is under way at a time: whoever asks without reading is not asked what else there is.
 */
export function reflectionServices(
  dialects: readonly Dialect[],
  began: (call: RunningCall) => void,
): readonly ServiceRegistration[] {
  const services = [
    ...dialects.map((dialect) => dialect.service),
    Health,
    v1.ServerReflection,
    v1alpha.ServerReflection,
  ]
  const catalogue = new Catalogue(services)
  return [
    { service: v1.ServerReflection, schema: v1.ServerReflectionResponseSchema },
    { service: v1alpha.ServerReflection, schema: v1alpha.ServerReflectionResponseSchema },
  ].map(({ service, schema }) => ({
    definition: definitionOf(service),
    handlers: {
      ServerReflectionInfo(call: ServerDuplexStream<Message, Buffer>) {
        began(call)
        call.on('data', (message: Message) => {
          call.pause()
          const request = message as Request
          const response = {
            validHost: request.host,
            originalRequest: request,
            messageResponse: catalogue.answer(request),
          }
          call.write(Buffer.from(toBinary(schema, create(schema, response as object))), () => call.resume())
        })
        call.on('end', () => call.end())
        call.on('error', () => call.end())
      },
    },
  }))
}

/** Files by name and by each symbol that they define. */
class Catalogue {
  readonly #files = new Map<string, DescFile>()
  readonly #symbols = new Map<string, DescFile>()

  constructor(private readonly services: readonly DescService[]) {
    for (const service of services) this.#add(service.file)
  }

  answer({ messageRequest }: Request): Answer {
    switch (messageRequest.case) {
      case 'listServices':
        return {
          case: 'listServicesResponse',
          value: create(v1.ListServiceResponseSchema, {
            service: this.services.map(({ typeName }) => ({ name: typeName })),
          }),
        }
      case 'fileByFilename':
        return fileAnswer(this.#files.get(messageRequest.value))
      case 'fileContainingSymbol':
        return fileAnswer(this.#symbols.get(messageRequest.value))
      case 'allExtensionNumbersOfType':
      case 'fileContainingExtension':
        return failure(status.NOT_FOUND, 'there are no extensions')
      case undefined:
        return failure(status.INVALID_ARGUMENT, 'the request asks for nothing')
    }
  }

  #add(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return
    this.#files.set(file.proto.name, file)
    for (const dependency of file.dependencies) this.#add(dependency)
    for (const service of file.services) {
      this.#symbols.set(service.typeName, file)
      for (const method of service.methods) this.#symbols.set(`${service.typeName}.${method.name}`, file)
    }
    for (const type of [...file.messages, ...file.enums]) this.#symbols.set(type.typeName, file)
  }
}

/** The file with everything that it imports, dependencies last. */
function fileAnswer(file: DescFile | undefined): Answer {
  if (!file) return failure(status.NOT_FOUND, 'no such file or symbol')
  const all = new Set<DescFile>()
  const add = (one: DescFile) => {
    all.add(one)
    one.dependencies.forEach(add)
  }
  add(file)
  return {
    case: 'fileDescriptorResponse',
    value: create(v1.FileDescriptorResponseSchema, {
      fileDescriptorProto: [...all].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)),
    }),
  }
}

function failure(errorCode: status, errorMessage: string): Answer {
  return { case: 'errorResponse', value: create(v1.ErrorResponseSchema, { errorCode, errorMessage }) }
}
