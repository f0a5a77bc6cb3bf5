import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import type { Order, Reply } from './messages.js'

// A process with many clients of the Workload API. Each connection is attested by itself.
const METHODS = ['/SpiffeWorkloadAPI/FetchX509SVID', '/spiffe.workload.SpiffeWorkloadAPI/FetchX509SVID']
const [, , socketPath = ''] = process.argv
const held: ClientHttp2Stream[] = []

function open(): ClientHttp2Session {
  const session = connect('http://localhost', { createConnection: () => connectSocket(socketPath) })
  session.on('error', fail)
  return session
}

function call(session: ClientHttp2Session, path = METHODS[0]): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true',
  })
  // A refusal is in the headers, the end of a stream in the trailers.
  for (const event of ['response', 'trailers']) {
    stream.on(event, ({ 'grpc-status': status, 'grpc-message': why }) => {
      if (status !== undefined) fail(new Error(`status ${status}: ${why}`))
    })
  }
  stream.end(Buffer.alloc(5))
  return stream
}

/** Resolves with the first bytes, because a message is sent at once. */
function message(stream: ClientHttp2Stream): Promise<unknown> {
  return new Promise((resolve) => stream.once('data', resolve))
}

function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** Opens connections concurrently, each with a lasting stream in each dialect. */
async function hold(connections: number): Promise<number[]> {
  const began = now()
  const first = async (stream: ClientHttp2Stream) => {
    held.push(stream)
    await message(stream)
    return now() - began
  }
  const sessions = Array.from({ length: connections }, open)
  return await Promise.all(sessions.flatMap((session) => METHODS.map((path) => first(call(session, path)))))
}

/** Fetches one after another, each on a connection of its own or all on one. */
async function rounds(times: number, fresh: boolean): Promise<number[]> {
  const took: number[] = []
  let session = open()
  for (let n = 0; n < times; n++) {
    const began = now()
    if (fresh && n > 0) session = open()
    const stream = call(session)
    await message(stream)
    took.push(now() - began)
    stream.removeAllListeners('trailers').on('error', () => undefined)
    stream.close()
    if (fresh) session.destroy()
  }
  session.destroy()
  return took
}

/** The time of the next message of each open stream. */
async function pushed(): Promise<number[]> {
  return await Promise.all(held.map((stream) => message(stream).then(now)))
}

async function obey(order: Order): Promise<number[]> {
  if (order.kind === 'hold') return await hold(order.connections)
  if (order.kind === 'rounds') return await rounds(order.times, order.fresh)
  return await pushed()
}

function fail(error: Error): void {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

process.on('message', (order: Order) => {
  obey(order).then((times) => process.send?.({ times } satisfies Reply), fail)
})
process.on('disconnect', () => process.exit())
