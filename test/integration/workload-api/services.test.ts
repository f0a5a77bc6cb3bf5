import { connect as openSession } from 'node:http2'
import { connect } from 'node:net'
import { create, createFileRegistry } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { type Client, type ServiceError, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import type { Service } from '../../../agent/workload-api/service.js'
import { until } from '../../support/until.js'
import { ApiWorld, AUTHSEC, HEADER, metadataOf, SPIFFE, same } from './api-world.js'

const API = { streamsPerConnection: 3, maxMessageBytes: 65_536 }
const OTHER = '/test.Other'
const LARGE = Buffer.alloc(100_000)

/** Another service on the same socket: a duplex method that answers each request with the pid of its caller. */
function other(): Service {
  const file = create(FileDescriptorProtoSchema, {
    name: 'other.proto',
    package: 'test',
    syntax: 'proto3',
    messageType: [{ name: 'Message' }],
    service: [
      {
        name: 'Other',
        method: ['Talk', 'Unwritten'].map((name) => ({
          name,
          inputType: '.test.Message',
          outputType: '.test.Message',
          clientStreaming: true,
          serverStreaming: true,
        })),
      },
    ],
  })
  const definition = createFileRegistry(file, () => undefined).getService('test.Other')
  if (!definition) throw new TypeError('the service is not there')
  return {
    definition,
    callers: 'identified',
    requiresHeader: false,
    maxMessageBytes: 1_048_576,
    streamsPerConnection: 1_000,
    handlers: {
      Talk: {
        duplex: (call, workload, connection) => {
          call.on('data', () => call.write(Buffer.from(`${workload.caller.pid} ${connection.id}`)))
          call.on('end', () => call.end())
        },
      },
    },
  }
}

let world: ApiWorld
beforeEach(async () => {
  world = await ApiWorld.listen(API, {}, () => [other()])
  world.show({ a: '01' })
})
afterEach(() => world[Symbol.asyncDispose]())

/** What a call gives: `data`, then nothing until it ends with a status. */
function open(client: Client, path: string, request: Buffer | null = Buffer.alloc(0), headers = {}) {
  const call = client.makeBidiStreamRequest(path, same, same, metadataOf(headers))
  const heard: (string | number)[] = []
  call.on('data', () => heard.push('data'))
  call.on('error', () => undefined)
  call.on('status', ({ code }: { code: number }) => heard.push(code))
  if (request) call.write(request)
  return { call, heard, hears: (count: number) => until(() => heard.length >= count) }
}

const fetch = (client: Client) => {
  const one = open(client, `${SPIFFE}/FetchX509SVID`, Buffer.alloc(0), HEADER)
  one.call.end()
  return one
}

const ask = (client: Client, request: Buffer) =>
  new Promise<string>((resolve) => {
    const call = client.makeBidiStreamRequest(`${OTHER}/Talk`, same, same, metadataOf({}))
    call.on('error', (error: ServiceError) => resolve(`${error.code} ${error.details}`))
    call.on('data', (message: Buffer) => {
      resolve(message.toString())
      call.end()
    })
    call.write(request)
  })

describe('a service on the socket', () => {
  it('is told who calls, and needs no header where its row says so', async () => {
    expect(await ask(world.client(), Buffer.alloc(0))).toBe(`${world.workload.caller.pid} c1`)
    await until(() => world.callsRunning === 0)
  })

  it('refuses who is not known, and a method that has no handler', async () => {
    world.caller = new AgentError('caller.foreign_pid_namespace', 'run the agent with hostPID')
    expect(await ask(world.client(), Buffer.alloc(0))).toBe(`${status.PERMISSION_DENIED} run the agent with hostPID`)
    world.caller = world.workload
    const unwritten = open(world.client(), `${OTHER}/Unwritten`)
    await unwritten.hears(1)
    expect(unwritten.heard).toEqual([status.UNIMPLEMENTED])
  })

  it('takes requests as large as its row allows, whatever others allow', async () => {
    const client = world.client()
    // Field 1, a text of 99,996 bytes: a message that knows no field skips it.
    const text = Buffer.concat([Buffer.from([0x0a, 0x9c, 0x8d, 0x06]), LARGE.subarray(4)])
    expect(await ask(client, text)).toBe(`${world.workload.caller.pid} c1`)
    const large = [
      open(client, `${SPIFFE}/FetchX509SVID`, LARGE, HEADER),
      open(client, `${AUTHSEC}/FetchX509SVID`, LARGE),
      open(client, '/grpc.health.v1.Health/Check', LARGE),
    ]
    for (const { call } of large) call.end()
    // The header is looked at before the size of the request.
    const without = open(client, `${SPIFFE}/FetchX509SVID`, LARGE)
    without.call.end()
    for (const one of [...large, without]) await one.hears(1)
    expect(large.map(({ heard }) => heard)).toEqual(Array.from({ length: 3 }, () => [status.RESOURCE_EXHAUSTED]))
    expect(without.heard).toEqual([status.INVALID_ARGUMENT])
    await until(() => world.callsRunning === 0)
  })

  it('has as many open calls a connection as its row allows, and room again when one ends', async () => {
    const client = world.client()
    const calls = [fetch(client), fetch(client), fetch(client)]
    for (const call of calls) await call.hears(1)
    const fourth = fetch(client)
    await fourth.hears(1)
    expect(fourth.heard).toEqual([status.UNAVAILABLE])
    expect(await ask(client, Buffer.alloc(0))).toBe(`${world.workload.caller.pid} c1`)
    const elsewhere = fetch(world.client())
    await elsewhere.hears(1)
    expect(elsewhere.heard).toEqual(['data'])
    calls[0]?.call.cancel()
    await until(() => world.callsOn('c1') === 2)
    const fifth = fetch(client)
    await fifth.hears(1)
    expect(fifth.heard).toEqual(['data'])
    for (const { call } of [...calls, elsewhere, fifth]) call.cancel()
    await until(() => world.callsRunning === 0)
  })

  it('counts calls from their start: one that asks for nothing is open too', async () => {
    const session = openSession('http://localhost', { createConnection: () => connect(world.path) })
    session.on('error', () => session.destroy())
    const begin = () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': `${SPIFFE}/FetchX509SVID`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...HEADER,
      })
      const answer = new Promise<string>((resolve) =>
        stream.on('response', (headers) => resolve(String(headers['grpc-status'] ?? 'none'))),
      )
      stream.on('error', () => undefined).resume()
      return { stream, answer }
    }
    const silent = [begin(), begin(), begin()]
    expect(await begin().answer).toBe(String(status.UNAVAILABLE))
    silent[0]?.stream.close()
    // The end of one may be read after the start of the next: that one is refused, and another has room.
    let answer = ''
    while (answer !== 'none') {
      const next = begin()
      next.stream.end(Buffer.alloc(5))
      answer = await next.answer
    }
    session.destroy()
  })
})
