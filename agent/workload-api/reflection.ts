import { create, type DescFile, type DescService, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import * as v1 from '../../proto/gen/grpc/reflection_v1_pb.js'
import * as v1alpha from '../../proto/gen/grpc/reflection_v1alpha_pb.js'
import type { Handler } from './service.js'

type Request = v1.ServerReflectionRequest | v1alpha.ServerReflectionRequest
type ReflectionAnswer = NonNullable<v1.ServerReflectionResponse['messageResponse']>

const VERSIONS = [
  { definition: v1.ServerReflection, schema: v1.ServerReflectionResponseSchema },
  { definition: v1alpha.ServerReflection, schema: v1alpha.ServerReflectionResponseSchema },
] as const

/**
 * Server reflection, v1 and v1alpha, for the services `others` and its own. The next request is read only after the client
 * has read the last answer.
 */
export function reflectionServices(
  others: readonly DescService[],
): readonly { readonly definition: DescService; readonly handlers: Readonly<Record<string, Handler<readonly []>>> }[] {
  const catalogue = new Catalogue([...others, ...VERSIONS.map(({ definition }) => definition)])
  return VERSIONS.map(({ definition, schema }) => ({
    definition,
    handlers: {
      ServerReflectionInfo: {
        duplex(call) {
          call.on('data', (message: Request) => {
            call.pause()
            const response = {
              validHost: message.host,
              originalRequest: message,
              messageResponse: catalogue.answer(message),
            }
            call.write(Buffer.from(toBinary(schema, create(schema, response as object))), () => call.resume())
          })
          call.on('end', () => call.end())
          call.on('error', () => call.end())
        },
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

  answer({ messageRequest }: Request): ReflectionAnswer {
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
        return failure(status.INVALID_ARGUMENT, 'the request is empty')
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
function fileAnswer(file: DescFile | undefined): ReflectionAnswer {
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

function failure(errorCode: status, errorMessage: string): ReflectionAnswer {
  return { case: 'errorResponse', value: create(v1.ErrorResponseSchema, { errorCode, errorMessage }) }
}
