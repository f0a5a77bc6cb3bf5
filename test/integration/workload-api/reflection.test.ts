import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { create, createFileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as v1 from '../../../proto/gen/grpc/reflection_v1_pb.js'
import { settle } from '../../fakes/clock.js'
import { until } from '../../support/until.js'
import { ApiWorld, metadataOf, same } from './api-world.js'

let world: ApiWorld
beforeEach(async () => {
  world = await ApiWorld.listen()
})
afterEach(() => world[Symbol.asyncDispose]())

type Question = NonNullable<v1.ServerReflectionRequest['messageRequest']>

async function ask(version: 'v1' | 'v1alpha', ...questions: Question[]): Promise<v1.ServerReflectionResponse[]> {
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`
  const call = world.client().makeBidiStreamRequest<Buffer, Buffer>(path, same, same, metadataOf({}))
  const answers: v1.ServerReflectionResponse[] = []
  call.on('data', (bytes: Buffer) => answers.push(fromBinary(v1.ServerReflectionResponseSchema, bytes)))
  for (const messageRequest of questions) call.write(requestOf(messageRequest))
  call.end()
  await once(call, 'end')
  return answers
}

function requestOf(messageRequest: Question): Buffer {
  const request = create(v1.ServerReflectionRequestSchema, { host: 'here', messageRequest })
  return Buffer.from(toBinary(v1.ServerReflectionRequestSchema, request))
}

const SERVICES = [
  'SpiffeWorkloadAPI',
  'spiffe.workload.SpiffeWorkloadAPI',
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
]

describe.each(['v1', 'v1alpha'] as const)('reflection %s', (version) => {
  it('lists the services', async () => {
    const [answer] = await ask(version, { case: 'listServices', value: '' })
    const list = answer?.messageResponse
    expect(list?.case === 'listServicesResponse' && list.value.service.map(({ name }) => name)).toEqual(SERVICES)
    expect(answer?.validHost).toBe('here')
    expect(answer?.originalRequest?.messageRequest.case).toBe('listServices')
  })

  it('gives the files of each service, complete, so that a tool can build its types', async () => {
    const answers = await ask(
      version,
      ...SERVICES.map((value): Question => ({ case: 'fileContainingSymbol', value })),
      { case: 'fileContainingSymbol', value: 'SpiffeWorkloadAPI.FetchX509SVID' },
      { case: 'fileContainingSymbol', value: 'spiffe.workload.X509SVIDResponse' },
      { case: 'fileByFilename', value: 'google/protobuf/struct.proto' },
    )
    for (const { messageResponse } of answers) {
      expect(messageResponse.case).toBe('fileDescriptorResponse')
      if (messageResponse.case !== 'fileDescriptorResponse') continue
      const file = messageResponse.value.fileDescriptorProto.map((bytes) =>
        fromBinary(FileDescriptorProtoSchema, bytes),
      )
      // Dependencies come first in a set.
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [...file].reverse() }))
      expect([...registry.files].length).toBe(file.length)
    }
    expect(answers).toHaveLength(SERVICES.length + 3)
  })

  it.each<[string, Question, number]>([
    ['a symbol that nobody knows', { case: 'fileContainingSymbol', value: 'Nothing' }, status.NOT_FOUND],
    ['a name that objects have', { case: 'fileContainingSymbol', value: 'constructor' }, status.NOT_FOUND],
    ['a file that nobody knows', { case: 'fileByFilename', value: '../../etc/passwd' }, status.NOT_FOUND],
    ['extensions', { case: 'allExtensionNumbersOfType', value: 'SpiffeWorkloadAPI' }, status.NOT_FOUND],
    ['nothing at all', { case: undefined }, status.INVALID_ARGUMENT],
  ])('answers a question for %s with an error, and the next one', async (_what, question, code) => {
    const [answer, next] = await ask(version, question, { case: 'listServices', value: '' })
    expect(answer?.messageResponse.case === 'errorResponse' && answer.messageResponse.value.errorCode).toBe(code)
    expect(next?.messageResponse.case).toBe('listServicesResponse')
  })
})

describe('who asks without reading', () => {
  it('is not asked what else there is: the questions stay on the client’s side', async () => {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(world.path),
      settings: { initialWindowSize: 0 },
    })
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const question = requestOf({ case: 'fileContainingSymbol', value: 'SpiffeWorkloadAPI' })
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, question.length]), question])
    const flood = Buffer.concat(Array.from({ length: 20_000 }, () => frame))
    stream.write(flood)
    await until(() => world.callsRunning === 1)
    for (let i = 0; i < 200; i++) await settle()
    // Their answers would be more than 50 MB.
    expect(session.socket.writableLength + stream.writableLength).toBeGreaterThan(0)
    session.destroy()
    await until(() => world.callsRunning === 0)
  })
})
