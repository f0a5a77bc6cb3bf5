import { create, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as spiffe from '../../proto/gen/spiffe/workload_pb.js'
import { codeOf, first, SERVICE, X509Watch } from '../conformance/call.js'
import { type Scene, startScene } from '../conformance/scene.js'
import { callUnary, openStream, SECURITY_HEADER, SPIFFE } from '../support/raw-stream.js'
import { alwaysAsync } from './fuzz.js'
import { frame, PREFACE, RawClient } from './http2.js'
import { mutated, mutations } from './mutations.js'

let scene: Scene

beforeAll(async () => {
  // On Node 20 a session that meets a broken header block does not see its client go: only the idle timer ends it.
  scene = await startScene({
    WORKLOAD_API__LIMITS__IDLE_CONNECTION: '5s',
    WORKLOAD_API__LIMITS__CONNECTIONS_PER_PID: '4000',
    WORKLOAD_API__LIMITS__CONNECTIONS_PER_SUBJECT: '4000',
  })
  await serves()
})
afterAll(async () => await scene[Symbol.asyncDispose]())

/** The agent still does what it is there for, and has met no defect of its own. */
async function serves(): Promise<void> {
  const { svids } = await first(new X509Watch(scene.address, 'spiffe'))
  expect(svids.map(({ spiffeId }) => spiffeId)).toEqual([scene.web])
  const failures = scene.agent.lines.filter(({ level, event }) => level === 'error' || event.includes('handler failed'))
  expect(failures).toEqual([])
}

const UNARY = ['FetchJWTSVID', 'ValidateJWTSVID']
const STREAMS = ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles', 'FetchWITSVID', 'FetchWITBundles']

async function statusOf(
  path: string,
  metadata: Record<string, string | string[]>,
  request: Uint8Array,
): Promise<status> {
  const method = path.slice(path.lastIndexOf('/') + 1)
  if (UNARY.includes(method)) return await codeOf(callUnary(scene.address, path, { metadata, request }))
  using stream = openStream(scene.address, path, { metadata, request })
  return await codeOf(stream.next())
}

/** The same once more where the answer is to ask again: a machine that is busy is slow to attest. */
async function lastingStatusOf(...call: Parameters<typeof statusOf>): Promise<status> {
  const code = await statusOf(...call)
  return code === status.UNAVAILABLE ? await statusOf(...call) : code
}

describe('metadata', () => {
  const key = fc.oneof(
    fc.constantFrom(
      'x-pid',
      'x-uid',
      'x-k8s-namespace',
      'x-docker-container-id',
      'x-docker-label-a',
      'user-agent',
      'cookie',
    ),
    fc.string({ unit: fc.constantFrom(...'abcxyz019_.-'), minLength: 1, maxLength: 30 }).map((name) => `x${name}`),
  )
  const value = fc.string({ unit: fc.constantFrom(...' !"#$%&\'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~'), maxLength: 200 })
  const entries = fc.dictionary(key, fc.oneof(value, fc.array(value, { maxLength: 3 })), { maxKeys: 8 })
  const claims = entries.map((given) =>
    Object.fromEntries(Object.entries(given).filter(([name]) => !name.endsWith('-bin') && !name.startsWith('grpc-'))),
  )

  test('of any kind changes nothing about who a caller is', async () => {
    await alwaysAsync(150, claims, async (metadata) => {
      expect(
        await lastingStatusOf(`${SPIFFE}/FetchX509SVID`, { ...metadata, ...SECURITY_HEADER }, Buffer.alloc(0)),
      ).toBe(status.OK)
      const { path } = SERVICE.authsec
      expect(await lastingStatusOf(`${path}/FetchX509SVID`, metadata, Buffer.alloc(0))).toBe(status.OK)
    })
    await serves()
  })

  test('is no security header unless it is exactly that', async () => {
    const near = fc.oneof(
      value,
      fc.constantFrom('True', 'true ', ' true', 'true\u00a0', 'truetrue', 'tru', 'true,true', 'true;', '"true"'),
    )
    await alwaysAsync(250, fc.tuple(fc.array(near, { maxLength: 3 }), claims), async ([values, rest]) => {
      const exact = values.length === 1 && values[0] === 'true'
      // Blanks around a value may be taken away on the way.
      if (!exact && values.length === 1 && values[0]?.trim() === 'true') return
      const wanted = exact ? status.OK : status.INVALID_ARGUMENT
      const metadata = { ...rest, 'workload.spiffe.io': values.filter((one) => /^[\x20-\x7e]*$/.test(one)) }
      if (metadata['workload.spiffe.io'].length !== values.length) return
      expect(await lastingStatusOf(`${SPIFFE}/FetchX509Bundles`, metadata, Buffer.alloc(0))).toBe(wanted)
    })
    await serves()
  })
})

describe('messages', () => {
  const jwt = toBinary(
    spiffe.JWTSVIDRequestSchema,
    create(spiffe.JWTSVIDRequestSchema, { audience: ['a', 'b'], spiffeId: 'spiffe://td/nobody' }),
  )
  const validate = toBinary(
    spiffe.ValidateJWTSVIDRequestSchema,
    create(spiffe.ValidateJWTSVIDRequestSchema, { audience: 'a', svid: 'eyJhbGciOiJSUzI1NiJ9.e30.AAAA' }),
  )
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.tuple(fc.constantFrom(jwt, validate), mutations).map(([message, changes]) => mutated(message, changes)),
    // Groups within groups, lengths without end, fields that are no fields.
    fc.integer({ min: 1, max: 5_000 }).map((depth) => Buffer.alloc(depth, 0x0b)),
    fc.integer({ min: 1, max: 20 }).map((count) => Buffer.alloc(count, 0xff)),
  )
  const paths = [...UNARY, ...STREAMS].map((method) => `${SPIFFE}/${method}`)
  const others = [...UNARY, 'FetchX509SVID'].map((method) => `${SERVICE.authsec.path}/${method}`)
  const ANSWERS = [status.OK, status.INVALID_ARGUMENT, status.PERMISSION_DENIED, status.UNIMPLEMENTED]

  test('of any bytes get an answer, and none is a defect of the agent', async () => {
    await alwaysAsync(400, fc.tuple(fc.constantFrom(...paths, ...others), bytes), async ([path, request]) => {
      const code = await statusOf(path, SECURITY_HEADER, request)
      // What happens to be a request for a token may have to wait for the server.
      const allowed = path.endsWith('FetchJWTSVID') ? [...ANSWERS, status.UNAVAILABLE] : ANSWERS
      expect(allowed.map((one) => status[one])).toContain(status[code])
    })
    await serves()
  })

  test('larger than allowed are refused', async () => {
    const huge = Buffer.alloc(70_000, 0x0a)
    for (const path of [...paths, ...others]) {
      expect(await statusOf(path, SECURITY_HEADER, huge)).toBe(status.RESOURCE_EXHAUSTED)
    }
    await serves()
  })
})

describe('bytes on the socket', () => {
  const frames = fc
    .array(fc.tuple(fc.nat(12), fc.nat(255), fc.nat(20), fc.uint8Array({ maxLength: 60 })), { maxLength: 8 })
    .map((all) => Buffer.concat(all.map(([type, flags, stream, payload]) => frame(type, flags, stream, payload))))
  const begin = Buffer.concat([PREFACE, frame(4, 0, 0)])
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    frames.map((bytes) => Buffer.concat([begin, bytes])),
    mutations.map((changes) => mutated(begin, changes)),
    // As gRPC for Java begins, whose requests are rewritten.
    frames.map((bytes) => Buffer.concat([PREFACE, frame(4, 0, 0, Buffer.from('000300000000', 'hex')), bytes])),
    fc
      .constantFrom('GET / HTTP/1.1\r\nhost: x\r\n\r\n', '\x16\x03\x01\x02\x00\x01', '{}')
      .map((text) => Buffer.from(text)),
  )

  test('of any kind hurt nobody', async () => {
    await alwaysAsync(300, fc.tuple(garbage, fc.boolean()), async ([bytes, ends]) => {
      using client = new RawClient(scene.address)
      await client.write(bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1))
      if (ends) client.socket.end()
      await Promise.race([client.closed, new Promise((resolve) => setTimeout(resolve, 3))])
    })
    await serves()
    await expect.poll(() => scene.figure('icp_agent_connections')).toBeLessThanOrEqual(2)
  })
})
