import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { openConnection } from '../../../agent/workload-api/open-connection.js'
import { until } from '../../support/until.js'
import { TemporaryDirectory } from '../support/sockets.js'
import { ApiWorld } from './api-world.js'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION] = [0, 1, 3, 4, 6, 7, 9]

function frame(type: number, flags: number, payload: Buffer, stream: number): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

const string = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])
const field = (name: string, value: string) => Buffer.concat([Buffer.from([0x40]), string(name), string(value)])

/** As gRPC for Java begins: it takes no streams itself. */
const BEGIN = Buffer.concat([PREFACE, frame(SETTINGS, 0, Buffer.from([0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]), 0)])

/** A call of FetchX509SVID with an authority, as gRPC for Java codes it. */
function call(authority: string): Buffer {
  const block = Buffer.concat([
    Buffer.from([0x83, 0x86]),
    field(':path', '/SpiffeWorkloadAPI/FetchX509SVID'),
    Buffer.concat([Buffer.from([0x41]), string(authority)]),
    field('content-type', 'application/grpc'),
    field('te', 'trailers'),
    field('workload.spiffe.io', 'true'),
  ])
  return Buffer.concat([frame(HEADERS, 4, block, 1), frame(DATA, 1, Buffer.alloc(5), 1)])
}

/** Collects what the server says, frame by frame. */
function listen(socket: Socket): { type: number; stream: number; payload: Buffer }[] {
  const frames: { type: number; stream: number; payload: Buffer }[] = []
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const end = 9 + bytes.readUIntBE(0, 3)
      frames.push({ type: bytes.readUInt8(3), stream: bytes.readUInt32BE(5), payload: bytes.subarray(9, end) })
      bytes = bytes.subarray(end)
    }
  })
  return frames
}

const descriptors = () => readdirSync('/proc/self/fd').length

describe('a client that names the path of the socket as authority', () => {
  // First: later ones would see descriptors of those before them go.
  it('takes its stand-in along when it goes', async () => {
    await using world = await ApiWorld.listen()
    world.show({ web: '01' })
    const before = descriptors()
    const socket = await world.connect()
    const heard = listen(socket)
    socket.write(Buffer.concat([BEGIN, call('/a')]))
    await until(() => heard.some(({ type }) => type === DATA))
    expect(descriptors()).toBe(before + 4)
    socket.destroy()
    await until(() => world.connections.size === 0 && descriptors() === before)
  })

  it('is served like any other, under its own name', async () => {
    await using world = await ApiWorld.listen()
    world.show({ web: '01' })
    const socket = await world.connect()
    const heard = listen(socket)
    socket.write(BEGIN)
    await until(() => heard.some(({ type }) => type === SETTINGS))
    socket.write(call('/run/icp-agent/agent.sock'))
    await until(() => heard.some(({ type, payload }) => type === DATA && payload.includes('spiffe://')))
    expect(heard.filter(({ type }) => type === RST_STREAM)).toEqual([])
  })

  it('hears GOAWAY and is let go of when the agent stops', async () => {
    await using world = await ApiWorld.listen()
    world.show({ web: '01' })
    const socket = await world.connect()
    const heard = listen(socket)
    socket.write(Buffer.concat([BEGIN, call('/a')]))
    await until(() => heard.some(({ type }) => type === DATA))
    const stopped = world.grpc.stop()
    await until(() => heard.some(({ type }) => type === GOAWAY))
    socket.end()
    await stopped
    expect(world.closed).toEqual([])
  })
})

describe('descriptors are all given back where a client', () => {
  const path = call('/run/icp-agent/agent.sock')
  const endless = frame(HEADERS, 0, path.subarray(9, 60), 1)
  const piece = frame(
    CONTINUATION,
    0,
    Buffer.concat([Buffer.from([0x40]), string('x-pad'), string('y'.repeat(120))]),
    1,
  )
  const write = async (socket: Socket, ...pieces: readonly Buffer[]) => {
    for (const one of pieces) {
      if (socket.destroyed) return
      socket.write(one)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const closed = (socket: Socket) => until(() => socket.destroyed)
  const stories: Readonly<Record<string, (socket: Socket) => Promise<void>>> = {
    'goes after half of the preface': (socket) => write(socket, PREFACE.subarray(0, 9)),
    'goes in the middle of its settings': (socket) => write(socket, BEGIN.subarray(0, BEGIN.length - 3)),
    'closes its half before anything was said': async (socket) => {
      await write(socket, BEGIN.subarray(0, 30))
      socket.end()
      await closed(socket)
    },
    'closes its half after a call': async (socket) => {
      const heard = listen(socket)
      await write(socket, BEGIN, path)
      await until(() => heard.some(({ type }) => type === DATA))
      socket.end()
      await closed(socket)
    },
    'dribbles byte by byte and goes': async (socket) => {
      const heard = listen(socket)
      await write(socket, ...Array.from(Buffer.concat([BEGIN, path]), (octet) => Buffer.of(octet)))
      await until(() => heard.some(({ type }) => type === DATA))
    },
    'goes in the middle of a header block': (socket) => write(socket, BEGIN, endless, piece.subarray(0, 40)),
    'floods it with headers that never end': (socket) =>
      write(socket, BEGIN, endless, ...Array.from({ length: 2_000 }, () => piece)),
    'sends a header block larger than any frame may be': (socket) =>
      write(socket, BEGIN, frame(HEADERS, 4, Buffer.alloc(200_000, 0x2f), 1)),
    'sends what is no frame': (socket) => write(socket, BEGIN, Buffer.alloc(1_000, 0xff)),
    'never reads': async (socket) => {
      socket.pause()
      await write(socket, BEGIN, path, ...Array.from({ length: 500 }, () => frame(PING, 0, Buffer.alloc(8), 0)))
    },
  }

  it.each(Object.keys(stories))('%s', { timeout: 60_000 }, async (name) => {
    await using world = await ApiWorld.listen()
    world.show({ web: '01' })
    const before = descriptors()
    const sockets = await Promise.all(Array.from({ length: 5 }, () => world.connect()))
    for (const socket of sockets) socket.resume()
    await Promise.all(sockets.map((socket) => stories[name]?.(socket)))
    for (const socket of sockets) socket.destroy()
    // A session of Node 20 that meets such headers reads no more: the idle timer of the endpoint ends the connection.
    if (name.startsWith('floods')) for (const socket of world.sockets) socket.destroy()
    await until(() => world.connections.size === 0 && descriptors() <= before)
    expect(world.callsRunning).toBe(0)
  })
})

it('a connection that says nothing has no session, and one for which no pair is left is closed', async () => {
  using directory = new TemporaryDirectory()
  const injected: Socket[] = []
  const accepted: Socket[] = []
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined)
    accepted.push(socket)
    openConnection(
      socket,
      () => {
        throw new Error('EMFILE')
      },
      (shown) => injected.push(shown),
    )
  }).listen(directory.file('api.sock'))
  await once(server, 'listening')
  const client = connect(directory.file('api.sock'))
  await until(() => accepted.length === 1)
  expect(injected).toEqual([])
  client.write(BEGIN)
  await once(client.resume(), 'close')
  expect(injected).toEqual([])
  server.close()
})
