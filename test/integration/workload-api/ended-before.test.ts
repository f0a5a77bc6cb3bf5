import { once } from 'node:events'
import { type ClientHttp2Stream, type IncomingHttpHeaders, connect as openSession } from 'node:http2'
import { connect } from 'node:net'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../support/until.js'
import { ApiWorld, HEADER, SPIFFE } from './api-world.js'

let world: ApiWorld
beforeEach(async () => {
  world = await ApiWorld.listen()
  world.show({ a: '01' })
})
afterEach(() => world[Symbol.asyncDispose]())

const EMPTY = Buffer.alloc(5)
/** Says that 8 MiB follow. */
const TOO_LARGE = Buffer.from('0000800000', 'hex')
/** Says that it is compressed, and by nothing that is known. */
const UNREADABLE = Buffer.from('010000000107', 'hex')
const PATHS = [
  '/grpc.health.v1.Health/Watch',
  '/grpc.health.v1.Health/Check',
  `${SPIFFE}/FetchX509SVID`,
  `${SPIFFE}/FetchJWTSVID`,
]

/** Calls on one connection of a client that has sent its request and leaves each call half open. */
class HalfOpen {
  readonly #session = openSession('http://localhost', { createConnection: () => connect(world.path) })
  readonly #calls: { readonly stream: ClientHttp2Stream; readonly answer: Promise<IncomingHttpHeaders> }[] = []

  constructor() {
    this.#session.on('error', () => this.#session.destroy())
  }

  async connected(): Promise<this> {
    await once(this.#session, 'connect')
    return this
  }

  open(path: string, headers: Readonly<Record<string, string>>): void {
    const stream = this.#session.request(
      {
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...HEADER,
        ...headers,
      },
      { endStream: false },
    )
    stream.on('error', () => stream.destroy())
    const answer = new Promise<IncomingHttpHeaders>((resolve) => stream.once('response', resolve))
    stream.resume().write(EMPTY)
    this.#calls.push({ stream, answer })
  }

  write(bytes: Buffer): void {
    for (const { stream } of this.#calls) stream.write(bytes)
  }

  /** The statuses with which the server ended the calls. */
  async statuses(): Promise<number[]> {
    const answers = await Promise.all(this.#calls.map(({ answer }) => answer))
    return answers.map((headers) => Number(headers['grpc-status']))
  }

  /** Only now the client has said all that it wants. */
  finish(): void {
    for (const { stream } of this.#calls) stream.end()
  }

  /** What is sent after it on the same connection has been answered: so has all that came before. */
  async answered(): Promise<void> {
    await new Promise<void>((resolve, reject) => this.#session.ping((error) => (error ? reject(error) : resolve())))
  }

  async close(): Promise<void> {
    this.#session.destroy()
    await until(() => world.connections.size === 0)
  }
}

describe('a call that gRPC ended before it was asked whole', () => {
  it.each<[string, status, Record<string, string>, Buffer | null]>([
    ['because its deadline had passed', status.DEADLINE_EXCEEDED, { 'grpc-timeout': '1m' }, null],
    ['because its second message was too large', status.RESOURCE_EXHAUSTED, {}, TOO_LARGE],
    ['because its second message could not be read', status.UNIMPLEMENTED, { 'grpc-encoding': 'snappy' }, UNREADABLE],
  ])('%s runs no handler, and leaves nothing behind', async (_why, code, headers, second) => {
    const client = await new HalfOpen().connected()
    for (const path of PATHS) client.open(path, headers)
    if (second) {
      await client.answered()
      client.write(second)
    }
    expect(await client.statuses()).toEqual(PATHS.map(() => code))
    client.finish()
    for (let turn = 0; turn < 3; turn++) await client.answered()
    expect([world.callsRunning, world.readiness.listeners.size, world.streams.size]).toEqual([0, 0, 0])
    expect(world.workload.checks).toBe(0)
    await client.close()
    expect([world.callsRunning, world.readiness.listeners.size, world.clock.pending]).toEqual([0, 0, 0])
  })

  it('is served as any other where the client asks in time', async () => {
    const client = await new HalfOpen().connected()
    client.open('/grpc.health.v1.Health/Watch', { 'grpc-timeout': '1H' })
    client.finish()
    await until(() => world.readiness.listeners.size === 1)
    expect(world.callsRunning).toBe(1)
    await client.close()
    await until(() => world.callsRunning === 0)
    expect(world.readiness.listeners.size).toBe(0)
  })
})
