import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { openConnection } from '../../../agent/workload-api/open-connection.js'
import { until } from '../support/client.js'
import { TemporaryDirectory } from '../support/sockets.js'
import { ApiWorld } from './api-world.js'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const [DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY] = [0, 1, 3, 4, 7]

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
    await until(() => world.sessions.size === 0 && descriptors() === before)
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
