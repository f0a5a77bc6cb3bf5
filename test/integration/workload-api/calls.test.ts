import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { fromBinary } from '@bufbuild/protobuf'
import { type Client, type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import * as authsec from '../../../proto/gen/authsec/workload_pb.js'
import * as spiffe from '../../../proto/gen/spiffe/workload_pb.js'
import { until } from '../../support/until.js'
import { ApiWorld, AUTHSEC, HEADER, metadataOf, SPIFFE, same } from './api-world.js'

let world: ApiWorld
beforeEach(async () => {
  world = await ApiWorld.listen()
})
afterEach(() => world[Symbol.asyncDispose]())

/** A streaming call: its messages and its status, as they come. */
class Stream {
  readonly messages: Buffer[] = []
  status: number | null = null
  details = ''
  readonly call: ClientReadableStream<Buffer>

  constructor(client: Client, path: string, headers: Parameters<typeof metadataOf>[0] = {}, request = Buffer.alloc(0)) {
    this.call = client.makeServerStreamRequest(path, same, same, request, metadataOf(headers))
    this.call.on('data', (message: Buffer) => this.messages.push(message))
    this.call.on('error', (error: ServiceError) => {
      this.details = error.details
    })
    this.call.on('status', ({ code }: { code: number }) => {
      this.status = code
    })
  }

  async has(count: number): Promise<Buffer> {
    await until(() => this.messages.length >= count || this.status !== null)
    const message = this.messages[count - 1]
    if (!message) throw new Error(`the stream ended with ${this.status}: ${this.details}`)
    return message
  }

  async ended(): Promise<number | null> {
    await until(() => this.status !== null)
    return this.status
  }
}

const unary = (client: Client, path: string, headers: Parameters<typeof metadataOf>[0] = {}) =>
  new Promise<number>((resolve) =>
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), metadataOf(headers), (error) =>
      resolve(error?.code ?? status.OK),
    ),
  )

describe('X.509-SVIDs on a socket', () => {
  it('come in both dialects on one connection, in order, with their bundles apart', async () => {
    world.show({ a: '01', b: '02' })
    const client = world.client()
    const standard = fromBinary(
      spiffe.X509SVIDResponseSchema,
      await new Stream(client, `${SPIFFE}/FetchX509SVID`, HEADER).has(1),
    )
    const sdk = fromBinary(authsec.X509SVIDResponseSchema, await new Stream(client, `${AUTHSEC}/FetchX509SVID`).has(1))
    for (const { svids } of [standard, sdk]) {
      expect(svids.map(({ spiffeId }) => spiffeId)).toEqual(['spiffe://example.org/a', 'spiffe://example.org/b'])
    }
    const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString()
    const [der, pem] = [standard.svids[0], sdk.svids[0]]
    expect(text(der?.x509Svid)).toBe('certificate of a')
    expect(text(der?.x509SvidKey)).toBe('key of a')
    expect(text(der?.bundle)).toBe('authority example.org')
    expect(text(pem?.x509Svid)).toMatch(/^-----BEGIN CERTIFICATE-----\n/)
    expect(text(pem?.x509SvidKey)).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
    expect(text(pem?.bundle)).toMatch(/^-----BEGIN CERTIFICATE-----\n/)
    expect(Object.keys(standard.federatedBundles)).toEqual(['spiffe://other.org'])
    expect(Object.keys(sdk.federatedBundles)).toEqual(['other.org'])
    expect(world.sockets).toHaveLength(1)
  })

  it('are pushed once for each change', async () => {
    world.show({ a: '01' })
    const stream = new Stream(world.client(), `${SPIFFE}/FetchX509SVID`, HEADER)
    await stream.has(1)
    world.show({ a: '02' })
    await stream.has(2)
    world.store.publish({}, { entries: 'all', bundles: true })
    world.show({ a: '02', b: '03' })
    const last = fromBinary(spiffe.X509SVIDResponseSchema, await stream.has(3))
    expect(last.svids).toHaveLength(2)
    expect(stream.messages).toHaveLength(3)
  })

  it('wait while the kernel cannot be asked about the caller, and the stream goes on', async () => {
    world.show({ a: '01' })
    const stream = new Stream(world.client(), `${SPIFFE}/FetchX509SVID`, HEADER)
    await stream.has(1)
    world.workload.wrong = new AgentError('caller.unidentified', 'no descriptor is free')
    world.show({ a: '02' })
    await world.clock.advance('1s')
    expect([stream.messages.length, stream.status]).toEqual([1, null])
    world.workload.wrong = null
    await world.clock.advance('1s')
    await stream.has(2)
  })

  it('bring their bundles by FetchX509Bundles too, keyed as each dialect wants it', async () => {
    world.show({ a: null })
    const client = world.client()
    const standard = await new Stream(client, `${SPIFFE}/FetchX509Bundles`, HEADER).has(1)
    const sdk = await new Stream(client, `${AUTHSEC}/FetchX509Bundles`).has(1)
    expect(Object.keys(fromBinary(spiffe.X509BundlesResponseSchema, standard).bundles)).toEqual([
      'spiffe://example.org',
      'spiffe://other.org',
    ])
    expect(Object.keys(fromBinary(authsec.X509BundlesResponseSchema, sdk).bundles)).toEqual([
      'example.org',
      'other.org',
    ])
  })
})

describe('the security header', () => {
  it.each<[string, Parameters<typeof metadataOf>[0]]>([
    ['missing', {}],
    ['in capitals', { 'workload.spiffe.io': 'True' }],
    ['a number', { 'workload.spiffe.io': '1' }],
    ['empty', { 'workload.spiffe.io': '' }],
    ['false', { 'workload.spiffe.io': 'false' }],
    ['twice', { 'workload.spiffe.io': ['true', 'true'] }],
    ['twice in one', { 'workload.spiffe.io': 'true,true' }],
    ['true and false', { 'workload.spiffe.io': ['true', 'false'] }],
    ['of another name', { 'broker.spiffe.io': 'true' }],
  ])('%s is InvalidArgument for every method of the standard (EP-06, EP-07)', async (_what, headers) => {
    world.show({ a: '01' })
    const client = world.client()
    for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles', 'FetchWITBundles']) {
      expect(await new Stream(client, `${SPIFFE}/${method}`, headers).ended()).toBe(status.INVALID_ARGUMENT)
    }
    for (const method of ['FetchJWTSVID', 'ValidateJWTSVID', 'FetchWITSVID']) {
      expect(await unary(client, `${SPIFFE}/${method}`, headers)).toBe(status.INVALID_ARGUMENT)
    }
    expect(world.workload.checks).toBe(0)
  })
})

describe('metadata of more than 16 KiB', () => {
  it.each<[string, Parameters<typeof metadataOf>[0]]>([
    ['one value', { 'x-big': 'x'.repeat(70 * 1024) }],
    ['many values', Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`x-${i}`, 'x'.repeat(1024)]))],
  ])('(%s) is InvalidArgument, which clients do not repeat', async (_what, more) => {
    world.show({ a: '01' })
    const client = world.client()
    const stream = new Stream(client, `${SPIFFE}/FetchX509SVID`, { ...HEADER, ...more })
    expect(await stream.ended()).toBe(status.INVALID_ARGUMENT)
    expect(stream.details).toContain('16 KiB')
    expect(await unary(client, `${AUTHSEC}/FetchJWTSVID`, more)).toBe(status.INVALID_ARGUMENT)
    expect(world.workload.checks).toBe(0)
  })
})

describe('a value of more than 64 KiB', () => {
  it('is one that clients are told not to send, and costs who sends it that connection alone', async () => {
    world.show({ a: '01' })
    const session = connectHttp2('http://localhost', { createConnection: () => connect(world.path) })
    const [settings] = await once(session, 'remoteSettings')
    expect(settings.maxHeaderListSize).toBe(75_000)
    session.destroy()
    const other = new Stream(world.client(), `${SPIFFE}/FetchX509SVID`, HEADER)
    await other.has(1)
    // grpc-js does not heed it.
    const stream = new Stream(world.client(), `${SPIFFE}/FetchX509SVID`, { ...HEADER, 'x-big': 'x'.repeat(100_000) })
    expect(await stream.ended()).toBe(status.INTERNAL)
    world.show({ a: '02' })
    await other.has(2)
  })
})

describe('what is not offered', () => {
  it('is Unimplemented: the WIT profile, methods and services that nobody knows', async () => {
    const client = world.client()
    expect(await unary(client, `${SPIFFE}/FetchWITSVID`, HEADER)).toBe(status.UNIMPLEMENTED)
    expect(await new Stream(client, `${SPIFFE}/FetchWITBundles`, HEADER).ended()).toBe(status.UNIMPLEMENTED)
    expect(await unary(client, `${SPIFFE}/FetchNothing`, HEADER)).toBe(status.UNIMPLEMENTED)
    expect(await unary(client, '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets')).toBe(
      status.UNIMPLEMENTED,
    )
  })
})

describe('a caller whom the kernel does not name', () => {
  it('is refused by every method, in both dialects, and may ask for health', async () => {
    world.caller = new AgentError('caller.foreign_pid_namespace', 'run the agent with hostPID')
    world.show({ a: '01' })
    const client = world.client()
    for (const [service, headers] of [
      [SPIFFE, HEADER],
      [AUTHSEC, {}],
    ] as const) {
      for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles']) {
        const stream = new Stream(client, `${service}/${method}`, headers)
        expect(await stream.ended()).toBe(status.PERMISSION_DENIED)
        expect(stream.details).toContain('hostPID')
      }
      expect(await unary(client, `${service}/FetchJWTSVID`, headers)).toBe(status.PERMISSION_DENIED)
    }
    expect(await unary(client, '/grpc.health.v1.Health/Check')).toBe(status.OK)
  })
})

describe('a connection', () => {
  it('is the caller’s for all of its calls, and lets go of the workload when it closes', async () => {
    world.show({ a: '01' })
    const client = world.client()
    const streams = [1, 2, 3].map(() => new Stream(client, `${SPIFFE}/FetchX509SVID`, HEADER))
    for (const stream of streams) await stream.has(1)
    expect(world.workload.holders).toBe(1)
    expect([world.streams.size, world.callsRunning]).toEqual([3, 3])
    client.close()
    for (const stream of streams) stream.call.cancel()
    await until(() => world.workload.holders === 0)
    await until(() => world.streams.size === 0)
    expect([world.connections.size, world.callsRunning, world.workload.subscribers]).toEqual([0, 0, 0])
    expect(world.clock.pending).toBe(0)
  })

  it('ends the calls of a client that is killed in the middle', async () => {
    world.show({ a: null })
    const stream = new Stream(world.client(), `${SPIFFE}/FetchX509SVID`, HEADER)
    await until(() => world.streams.size === 1)
    expect(world.clock.pending).toBe(1)
    world.sockets[0]?.destroy()
    await stream.ended()
    await until(() => world.streams.size === 0 && world.workload.holders === 0)
    expect(world.clock.pending).toBe(0)
  })

  it('that is gone before it is accepted leaves nothing behind', async () => {
    const socket = await world.connect()
    await until(() => world.sockets.length === 1)
    const [accepted] = world.sockets
    socket.destroy()
    if (accepted && !accepted.closed) await once(accepted.destroy(), 'close')
    if (accepted) world.accept(accepted)
    expect([world.connections.size, world.workload.holders]).toEqual([0, 0])
  })

  it('that sends garbage is closed, and others are served', async () => {
    world.show({ a: '01' })
    const garbage = [
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(4096, 0xff),
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(4096, 0xff)]),
      // A frame of 16 MiB.
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('ffffff0401000000010000', 'hex')]),
    ]
    for (const bytes of garbage) {
      const socket = await world.connect()
      socket.resume()
      socket.write(bytes)
      await once(socket, 'close')
    }
    await new Stream(world.client(), `${SPIFFE}/FetchX509SVID`, HEADER).has(1)
    await until(() => world.connections.size === 1)
    expect(world.workload.holders).toBe(1)
  })

  it('refuses requests that are larger than allowed, and serves the next one', async () => {
    world.show({ a: '01' })
    const client = world.client()
    const large = new Stream(client, `${SPIFFE}/FetchX509SVID`, HEADER, Buffer.alloc(100_000))
    expect(await large.ended()).toBe(status.RESOURCE_EXHAUSTED)
    await new Stream(client, `${SPIFFE}/FetchX509SVID`, HEADER).has(1)
  })
})

describe('health', () => {
  it('says whether the agent serves, as a whole and for each dialect, and pushes changes', async () => {
    const client = world.client()
    const watch = new Stream(client, '/grpc.health.v1.Health/Watch')
    const unknown = new Stream(client, '/grpc.health.v1.Health/Watch', {}, Buffer.from('\n\u0004none'))
    expect([...(await watch.has(1))]).toEqual([8, 1])
    expect([...(await unknown.has(1))]).toEqual([8, 3])
    expect(world.callsRunning).toBe(2)
    world.readiness.ready = false
    for (const listener of world.readiness.listeners) listener()
    expect([...(await watch.has(2))]).toEqual([8, 2])
    for (const listener of world.readiness.listeners) listener()
    watch.call.cancel()
    unknown.call.cancel()
    await until(() => world.callsRunning === 0)
    expect([watch.messages.length, unknown.messages.length]).toEqual([2, 1])
    expect(world.readiness.listeners.size).toBe(0)
    const check = (service: string) =>
      new Promise<number | string>((resolve) =>
        client.makeUnaryRequest(
          '/grpc.health.v1.Health/Check',
          same,
          same,
          Buffer.from([10, service.length, ...Buffer.from(service)]),
          metadataOf({}),
          (error, message) => resolve(error ? error.code : (message?.toString('hex') ?? '')),
        ),
      )
    expect(await check('SpiffeWorkloadAPI')).toBe('0802')
    expect(await check('spiffe.workload.SpiffeWorkloadAPI')).toBe('0802')
    expect(await check('none')).toBe(status.NOT_FOUND)
    await until(() => world.callsRunning === 0)
  })
})
