import { type ClientHttp2Session, type ClientHttp2Stream, connect as openSession } from 'node:http2'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DiscoveryRequestSchema } from '../../../proto/gen/envoy/discovery_pb.js'
import { until } from '../../support/until.js'
import { HEADER, metadataOf, SPIFFE, same } from './api-world.js'
import { SdsWorld } from './sds-world.js'

const METHOD = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets'
const MIB = 1024 ** 2

let world: SdsWorld
const sessions: ClientHttp2Session[] = []
beforeEach(async () => {
  world = await SdsWorld.listen()
  world.show({ a: '1' })
})
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy()
  await world[Symbol.asyncDispose]()
})

/** Bytes of buffers, after a collection. */
function memory(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().arrayBuffers
}

/** A request as it is on the wire. */
function wire(request: MessageInitShape<typeof DiscoveryRequestSchema>): Buffer {
  const message = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request))
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** A connection without a gRPC library, whose streams can be left unread. */
function session(settings = {}): ClientHttp2Session {
  const opened = openSession('http://localhost', {
    settings,
    maxSessionMemory: 1_000,
    createConnection: () => connect(world.api.path),
  })
  opened.on('error', () => opened.destroy())
  sessions.push(opened)
  return opened
}

function call(on: ClientHttp2Session) {
  const stream: ClientHttp2Stream = on.request({
    ':method': 'POST',
    ':path': METHOD,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const seen = { bytes: 0, closed: null as number | null, grpcStatus: null as string | null }
  stream.on('error', () => undefined)
  // Where nothing was answered before, the status comes with the response.
  for (const event of ['response', 'trailers'] as const) {
    stream.on(event, ({ 'grpc-status': code }: { 'grpc-status'?: string }) => {
      seen.grpcStatus = code === undefined ? seen.grpcStatus : String(code)
    })
  }
  stream.on('close', () => {
    seen.closed = stream.rstCode
  })
  const read = () =>
    void stream.on('data', (part: Buffer) => {
      seen.bytes += part.length
    })
  return { stream, seen, read }
}

describe('a stream for secrets', () => {
  it('whose client does not read ends alone', async () => {
    // Less than a response may be sent before the client reads.
    const on = session({ initialWindowSize: 100 })
    const [stalled, reading] = [call(on), call(on)]
    reading.read()
    stalled.stream.write(wire({ resourceNames: ['default'] }))
    reading.stream.write(wire({ resourceNames: ['default'] }))
    await until(() => world.sinks.total('icp_agent_pushes_total', { method: 'StreamSecrets' }) === 2)
    await until(() => reading.seen.bytes > 200)
    await world.clock.advance('30s')
    await until(() => stalled.seen.closed !== null)
    expect(stalled.seen.closed).toBe(7)
    const { bytes } = reading.seen
    world.show({ a: '2' })
    await until(() => reading.seen.bytes > bytes)
    expect(reading.seen.closed).toBeNull()
    expect(world.api.closed).toEqual([])
    await until(() => world.api.callsRunning === 1)
  })

  it('is not read further while its answer is not read', async () => {
    const on = session({ initialWindowSize: 100 })
    const slow = call(on)
    slow.stream.write(wire({ resourceNames: ['default'] }))
    await until(() => world.sinks.total('icp_agent_pushes_total', { method: 'StreamSecrets' }) === 1)
    for (let i = 0; i < 20; i++) slow.stream.write(wire({ resourceNames: ['ROOTCA'] }))
    slow.stream.write(wire({ typeUrl: 'of something else' }))
    // Another stream of the connection is answered, so these have arrived.
    const other = call(on)
    other.read()
    other.stream.write(wire({ resourceNames: ['default'] }))
    await until(() => other.seen.bytes > 0)
    expect(world.sinks.total('icp_agent_pushes_total', { method: 'StreamSecrets' })).toBe(2)
    expect(slow.seen.grpcStatus).toBeNull()
    slow.read()
    await until(() => slow.seen.grpcStatus !== null)
    expect(slow.seen.grpcStatus).toBe(String(status.INVALID_ARGUMENT))
    expect(world.sinks.total('icp_agent_pushes_total', { method: 'StreamSecrets' })).toBe(22)
  })

  it('takes requests of a mebibyte, and does not keep what it does not know', async () => {
    const on = session()
    const large = call(on)
    large.read()
    // Envoy lists its extensions in field 9 of the node.
    const extension = Buffer.concat([Buffer.from([0x4a, 0x80, 0x01]), Buffer.alloc(128, 'x')])
    const node = Buffer.concat(Array.from({ length: 5_000 }, () => extension))
    const length = Buffer.from([
      0x12,
      (node.length & 0x7f) | 0x80,
      ((node.length >> 7) & 0x7f) | 0x80,
      node.length >> 14,
    ])
    const name = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { resourceNames: ['default'] }))
    const message = Buffer.concat([length, node, name])
    expect(message.length).toBeGreaterThan(600_000)
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(message.length, 1)
    large.stream.write(Buffer.concat([prefix, message]))
    await until(() => large.seen.bytes > 0)
  })

  it('is refused with ResourceExhausted where a request is larger, or names more than a thousand secrets', async () => {
    const on = session()
    const [large, many, long] = [call(on), call(on), call(on)]
    for (const one of [large, many, long]) one.read()
    large.stream.write(wire({ versionInfo: 'x'.repeat(MIB) }))
    many.stream.write(wire({ resourceNames: Array.from({ length: 1_001 }, (_, i) => `n${i}`) }))
    long.stream.write(wire({ resourceNames: ['x'.repeat(200_000)] }))
    for (const { seen } of [large, many, long]) {
      await until(() => seen.grpcStatus !== null)
      expect(seen.grpcStatus).toBe(String(status.RESOURCE_EXHAUSTED))
    }
  })

  it('pays for requests that answer nothing, where others call too', async () => {
    await world[Symbol.asyncDispose]()
    world = await SdsWorld.listen('spiffe', { calls: { perSecond: 1, burst: 20 } })
    world.show({ a: '1' })
    const busy = world.api.client()
    world.api.account = ['uid:2', '2:8']
    const another = world.api.client()
    const fetch = () =>
      new Promise((resolve) => {
        const one = another.makeServerStreamRequest(
          `${SPIFFE}/FetchX509SVID`,
          same,
          same,
          Buffer.alloc(0),
          metadataOf(HEADER),
        )
        one.on('error', () => undefined)
        one.once('data', () => {
          one.cancel()
          resolve(null)
        })
      })
    await fetch()
    world.api.account = ['uid:1', '1:7']
    const stream = busy.makeBidiStreamRequest<Buffer, Buffer>(METHOD, same, same)
    let ended: number | null = null
    stream.on('error', () => undefined)
    stream.on('status', ({ code }: { code: number }) => {
      ended = code
    })
    let answers = 0
    stream.on('data', () => answers++)
    const ask = (name: string) => stream.write(wire({ resourceNames: [name] }).subarray(5))
    for (let i = 0; i < 30; i++) ask(i % 2 === 0 ? 'default' : 'ROOTCA')
    await until(() => ended !== null)
    expect(ended).toBe(status.RESOURCE_EXHAUSTED)
    expect(answers).toBeGreaterThan(5)
    expect(answers).toBeLessThan(25)
  })
})

describe('a thousand calls on one connection', () => {
  it('are streams for secrets, and a hundred of the Workload API beside them', async () => {
    const on = session()
    const calls = Array.from({ length: 850 }, () => call(on))
    for (const one of calls) {
      one.read()
      // As large as Envoy's.
      one.stream.write(wire({ resourceNames: ['default'], versionInfo: 'x'.repeat(61_200) }))
    }
    for (const { seen } of calls) await until(() => seen.bytes > 0 || seen.closed !== null)
    expect(calls.filter(({ seen }) => seen.closed !== null)).toHaveLength(0)
    const fetch = () => {
      const stream = on.request({
        ':method': 'POST',
        ':path': `${SPIFFE}/FetchX509SVID`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...HEADER,
      })
      const answer = new Promise<string>((resolve) =>
        stream.on('response', (headers) => resolve(String(headers['grpc-status'] ?? 'served'))),
      )
      stream.on('error', () => undefined).resume()
      stream.end(Buffer.alloc(5))
      return answer
    }
    const answers = await Promise.all(Array.from({ length: 101 }, fetch))
    expect(answers.filter((answer) => answer === 'served')).toHaveLength(100)
    expect(answers.at(-1)).toBe(String(status.UNAVAILABLE))
    world.show({ a: '2' })
    const before = calls.map(({ seen }) => seen.bytes)
    for (const [i, { seen }] of calls.entries()) await until(() => seen.bytes >= (before[i] ?? 0))
    expect(world.api.closed).toEqual([])
  })

  it('that are half sent take bounded memory: what is above it ends, and the connection serves on', async () => {
    const on = session()
    const half = Buffer.alloc(MIB / 2)
    half.writeUInt32BE(MIB - 5, 1)
    const before = memory()
    const calls = Array.from({ length: 300 }, () => call(on))
    for (const { stream } of calls) stream.write(half)
    await until(() => calls.filter(({ seen }) => seen.closed !== null).length >= 300 - 127)
    // What came whole of them in one read with what is not kept is kept too; twice the limit is plenty.
    const kept = memory() - before
    expect(calls.filter(({ seen }) => seen.closed === 11).length).toBeGreaterThanOrEqual(300 - 127)
    expect(world.sinks.total('icp_agent_calls_turned_away_total', { reason: 'unfinished' })).toBeGreaterThan(0)
    expect(kept).toBeLessThan(128 * MIB)
    const served = call(on)
    served.read()
    served.stream.write(wire({ resourceNames: ['default'] }))
    await until(() => served.seen.bytes > 0)
  })
})
