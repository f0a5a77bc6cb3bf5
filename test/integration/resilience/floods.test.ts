import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { callHeaders, END_HEADERS, END_STREAM, frame, PREFACE, TYPE } from '../../fuzz/http2.js'
import { type RunningAgent, startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { fetchOnce, served, uid } from './support.js'

const CALL = {
  ':method': 'POST',
  ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
  'content-type': 'application/grpc',
  te: 'trailers',
  'workload.spiffe.io': 'true',
}
const EMPTY_MESSAGE = Buffer.alloc(5)
const GOAWAY = 7

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
let agent: RunningAgent

beforeAll(async () => {
  dir = await temporaryDirectory()
  server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  agent = await startAgent({
    dir: dir.path,
    server,
    settings: {
      WORKLOAD_API__LIMITS__STALLED_STREAM: '1s',
      // Whoever is not heard any more and does not go either is sent away.
      WORKLOAD_API__LIMITS__IDLE_CONNECTION: '2s',
      // HTTP/2 keeps the limit of the Workload API where no service allows more; else the call above it is refused.
      SDS__ENABLED: 'false',
      WORKLOAD_API__LIMITS__STREAMS_PER_CONNECTION: '60',
      LOGGING__LEVEL: 'info',
      SYNC__INTERVAL: '5s',
    },
  })
  await served(agent.address)
})
afterAll(async () => {
  await agent?.stop()
  await server?.[Symbol.asyncDispose]()
  await dir?.[Symbol.asyncDispose]()
})

/** The frames that come on the connection, as they come. */
function framesOf(socket: Socket): readonly { readonly type: number; readonly stream: number }[] {
  const found: { type: number; stream: number }[] = []
  let rest = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (let end = 0; rest.length >= 9; rest = rest.subarray(end)) {
      end = 9 + rest.readUIntBE(0, 3)
      if (rest.length < end) return
      found.push({ type: rest.readUInt8(3), stream: rest.readUInt32BE(5) })
    }
  })
  return found
}

/** A connection that has said what an HTTP/2 client says first. */
async function opened(): Promise<Socket> {
  const socket = connect(agent.socketPath)
  socket.on('error', () => socket.destroy())
  await once(socket, 'connect')
  socket.write(Buffer.concat([PREFACE, frame(4, 0, 0)]))
  return socket
}

/** Resolves when any of the events comes, an error too. */
function any(emitter: NodeJS.EventEmitter, ...events: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    for (const event of [...events, 'error']) emitter.once(event, () => resolve())
  })
}

/** Sends pieces, and resolves when the other side hangs up. */
async function hungUpOn(socket: Socket, piece: Buffer, times: number): Promise<void> {
  const gone = any(socket, 'close')
  socket.resume()
  for (let i = 0; i < times && !socket.destroyed; i++) {
    if (!socket.write(piece)) await Promise.race([any(socket, 'drain'), gone])
  }
  await gone
}

const many = (piece: Buffer, n: number) => Buffer.concat(Array.from({ length: n }, () => piece))

describe('whoever floods the socket costs himself his connection, and others are served meanwhile:', () => {
  test.each([
    // Each must be acknowledged; the queue of acknowledgements is bounded.
    ['settings', () => many(frame(4, 0, 0), 1_000)],
    ['pings', () => many(frame(6, 0, 0, Buffer.alloc(8)), 1_000)],
    // A header block that never ends (RFC 9113 10.5.1).
    [
      'continuations of a header',
      (n: number) =>
        n === 0 ? frame(1, 0, 1, Buffer.from([0x82])) : many(frame(9, 0, 1, Buffer.alloc(8_192, 0x40)), 10),
    ],
    ['garbage', () => Buffer.alloc(65_536, 0xee)],
  ])('%s', { timeout: 180_000 }, async (_what, piece) => {
    const socket = await opened()
    socket.write(piece(0))
    const flood = hungUpOn(socket, piece(1), 400)
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
    await flood
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
  })

  test('streams that are reset as soon as they are opened', { timeout: 180_000 }, async () => {
    const session = connectHttp2('http://localhost', { createConnection: () => connect(agent.socketPath) })
    session.on('error', () => session.destroy())
    await once(session, 'connect')
    const resets = async () => {
      for (let i = 0; i < 200 && !session.destroyed && !session.closed; i++) {
        for (let n = 0; n < 50 && !session.destroyed && !session.closed; n++) {
          const stream = session.request(CALL)
          stream.on('error', () => stream.destroy())
          stream.close(constants.NGHTTP2_CANCEL)
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const flood = resets()
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
    await flood
    session.destroy()
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
  })

  test('more streams than allowed', async () => {
    const socket = await opened()
    const frames = framesOf(socket)
    // What the agent allows counts from when it has been acknowledged (RFC 9113 6.5.3).
    await eventually(
      () => frames,
      (found) => found.some(({ type }) => type === TYPE.settings),
    )
    socket.write(frame(TYPE.settings, 1, 0))
    const block = callHeaders('FetchX509SVID')
    for (let n = 0; n < 65; n++) {
      const id = 2 * n + 1
      socket.write(frame(TYPE.headers, END_HEADERS, id, block))
      socket.write(frame(TYPE.data, END_STREAM, id, EMPTY_MESSAGE))
    }
    const gone = any(socket, 'close')
    await eventually(
      () => frames,
      (found) => found.some(({ type }) => type === GOAWAY),
    )
    // Whoever was allowed is answered; the one above it has broken the protocol (RFC 9113 5.1.2), and that is the end.
    const answered = new Set(frames.filter(({ type }) => type === TYPE.headers).map(({ stream }) => stream))
    expect(Math.max(...answered)).toBeLessThanOrEqual(119)
    expect(answered.size).toBeLessThanOrEqual(60)
    await gone
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
    socket.destroy()
  })

  test('a message larger than allowed', async () => {
    const session = connectHttp2('http://localhost', { createConnection: () => connect(agent.socketPath) })
    const stream = session.request(CALL)
    const size = Buffer.alloc(5)
    size.writeUInt32BE(1_048_576, 1)
    stream.write(size)
    stream.end(Buffer.alloc(1_048_576))
    stream.resume()
    const [headers] = await Promise.race([once(stream, 'response'), once(stream, 'trailers')])
    const status = headers['grpc-status'] ?? (await once(stream, 'trailers'))[0]['grpc-status']
    expect(String(status)).toBe('8')
    session.destroy()
  })

  test('headers larger than allowed', async () => {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(agent.socketPath),
      maxSendHeaderBlockLength: 10_000_000,
    })
    session.on('error', () => session.destroy())
    const stream = session.request({ ...CALL, 'x-filler': 'x'.repeat(1_000_000) })
    stream.resume()
    await Promise.race([any(stream, 'response', 'close'), any(session, 'close')])
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
    session.destroy()
  })

  test('not reading: the connection is dropped after a time', { timeout: 180_000 }, async () => {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(agent.socketPath),
      settings: { initialWindowSize: 0 },
    })
    session.on('error', () => session.destroy())
    await once(session, 'connect')
    const stream = session.request(CALL)
    stream.on('error', () => stream.destroy())
    stream.end(EMPTY_MESSAGE)
    const gone = any(session, 'close')
    expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
    await gone
    await eventually(
      () => agent.lines.some(({ event, reason }) => event === 'Connection closed' && reason === 'stalled'),
      (found) => found || session.destroyed,
    )
    expect(session.destroyed).toBe(true)
  })
})
