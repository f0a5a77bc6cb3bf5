import type { Socket } from 'node:net'
import { type Client, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { socketPair } from '../../../agent/platform/socket-pair.js'
import { openConnection } from '../../../agent/workload-api/open-connection.js'
import { callHeaders, END_HEADERS, END_STREAM, frame, headerBlock, PREFACE, TYPE } from '../../fuzz/http2.js'
import { until } from '../../support/until.js'
import { ApiWorld, HEADER, metadataOf, SPIFFE, same } from './api-world.js'

const BURST = 40
const PLENTY = { perSecond: 1_000_000, burst: 1_000_000 }
const OTHER = ['uid:2000', '2000:9'] as const
const GOAWAY = 7
const REFUSED_STREAM = 7
const CANCEL = Buffer.from('00000008', 'hex')

let world: ApiWorld
beforeEach(async () => {
  world = await ApiWorld.listen(undefined, { connections: PLENTY, calls: { perSecond: 10, burst: BURST } })
  world.show({ a: '01' })
  // Somebody else uses the socket too, or nobody would be limited.
  await answered(clientOf(OTHER))
})
afterEach(() => world[Symbol.asyncDispose]())

/** The next connections are of this subject and process. */
function clientOf(account: readonly [string, string]): Client {
  const client = world.client()
  world.account = account
  return client
}

/** The status of a call that ends with its first message. */
function answered(client: Client): Promise<number> {
  return new Promise((resolve) => {
    const call = client.makeServerStreamRequest(
      `${SPIFFE}/FetchX509SVID`,
      same,
      same,
      Buffer.alloc(0),
      metadataOf(HEADER),
    )
    call.on('data', () => {
      resolve(status.OK)
      call.cancel()
    })
    call.on('error', ({ code }: { readonly code: number }) => resolve(code))
  })
}

/** Calls, each given up as soon as it is made, as one piece of bytes. */
function calls(count: number, block = callHeaders('FetchX509SVID')): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, i) =>
      Buffer.concat([
        frame(TYPE.headers, END_HEADERS, 2 * i + 1, block),
        frame(TYPE.data, END_STREAM, 2 * i + 1, Buffer.alloc(5)),
        frame(TYPE.rst, 0, 2 * i + 1, CANCEL),
      ]),
    ),
  )
}

/** A connection that has begun, and the code of the GOAWAY that ends it, once it has ended. */
async function connected(): Promise<{ socket: Socket; goaway: Promise<number | null> }> {
  const socket = await world.connect()
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
  })
  const goaway = new Promise<number | null>((resolve) =>
    socket.once('close', () => {
      for (let at = 0; at + 17 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
        if (bytes[at + 3] === GOAWAY) resolve(bytes.readUInt32BE(at + 13))
      }
      resolve(null)
    }),
  )
  return { socket, goaway }
}

const turnedAway = () => world.sinks.total('icp_agent_calls_turned_away_total')
const owedMs = () => world.fairness.rates.owedFor(world.fairness.rates.account(...world.account))

it.each([
  ['a little is handed over itself', 4_096, true],
  ['much is read by HTTP/2 alone: what it is given at once it takes in whole', 4_097, false],
])('a connection that begins with %s', async (_what, size, itself) => {
  const [client, socket] = socketPair()
  const begin = Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0)])
  const handed = new Promise<Socket>((resolve) => openConnection(socket, socketPair, resolve))
  client.write(Buffer.concat([begin, Buffer.alloc(size - begin.length)]))
  const shown = await handed
  expect(shown === socket).toBe(itself)
  for (const one of [client, socket, shown]) one.on('error', () => undefined).destroy()
})

it('a connection is not idle while its call waits for its turn', async () => {
  world.account = ['uid:1000', '1000:7']
  const later: (() => void)[] = []
  world.fairness.queue.take = (_subject, job) => later.push(job) > 0
  const answer = answered(world.client())
  await until(() => later.length === 1)
  // Opening the connection waits.
  expect(world.callsRunning).toBe(1)
  later.shift()?.()
  await until(() => later.length === 1)
  // The call waits.
  expect(world.callsRunning).toBe(1)
  later.shift()?.()
  expect(await answer).toBe(status.OK)
  await until(() => world.callsRunning === 0)
})

describe('calls above the rate', () => {
  beforeEach(() => {
    world.account = ['uid:1000', '1000:7']
  })

  it.each([
    ['of a method that there is', callHeaders('FetchX509SVID')],
    ['of a method that there is not', callHeaders('NoSuchMethod')],
    [
      'that are no gRPC',
      headerBlock([
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', 'x'],
      ]),
    ],
  ])('%s end their connection with GOAWAY, and what has arrived with them is not taken in', async (_what, block) => {
    const { socket, goaway } = await connected()
    // All at once, as one segment, before anything is known of the client.
    socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0), calls(1_600, block)]))
    expect(await goaway).toBe(REFUSED_STREAM)
    expect(turnedAway()).toBe(1)
    expect(world.closed).toEqual(['rate_subject'])
    // The one that was too many is owed; hundreds more were in the same read.
    expect(owedMs()).toBe(100)
  })

  it('a little later, on a connection that is known, are not taken in either', async () => {
    const { socket, goaway } = await connected()
    socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0)]))
    await until(() => socket.bytesRead > 0)
    socket.write(calls(1_600))
    expect(await goaway).toBe(REFUSED_STREAM)
    expect(owedMs()).toBe(100)
  })

  it('are Unavailable to a client, and it is served when it comes back in time', async () => {
    const client = world.client()
    const codes = await Promise.all(Array.from({ length: 90 }, () => answered(client)))
    expect(codes).toContain(status.UNAVAILABLE)
    expect(codes.filter((code) => code !== status.UNAVAILABLE && code !== status.OK)).toEqual([])
    await world.clock.advance('10s')
    world.account = OTHER
    await answered(world.client())
    world.account = ['uid:1000', '1000:7']
    await until(() => owedMs() === 0)
    expect(await answered(world.client())).toBe(status.OK)
  })

  it('cost another subject nothing', async () => {
    const { socket, goaway } = await connected()
    socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0), calls(1_600)]))
    await goaway
    expect(await answered(clientOf(OTHER))).toBe(status.OK)
  })

  it('leave other connections of the subject unread until they are paid for; those stay open', async () => {
    const watching = world.client()
    expect(await answered(watching)).toBe(status.OK)
    const { socket, goaway } = await connected()
    socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0), calls(1_600)]))
    await goaway
    let answer: number | null = null
    const later = answered(watching).then((code) => {
      answer = code
    })
    // A call of another one goes through meanwhile, from the client to its end.
    world.account = OTHER
    await answered(world.client())
    expect(answer).toBeNull()
    // The connection is not idle meanwhile.
    expect(world.callsOn('c2')).toBe(1)
    await world.clock.advance('1s')
    await later
    expect(answer).toBe(status.OK)
  })

  it('are said once a moment, with whom they count against', async () => {
    const { socket, goaway } = await connected()
    socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0), calls(1_600)]))
    await goaway
    expect(world.sinks.lines.filter(({ level }) => level === 'warn')).toEqual([
      {
        level: 'warn',
        event: 'Caller turned away: it connects or calls too often',
        fields: { what: 'calls', reason: 'rate_subject', subject: 'uid:1000', pid: 7 },
      },
    ])
  })
})
