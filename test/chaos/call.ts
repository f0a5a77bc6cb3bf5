import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { decodeFrames } from './wire.js'

/** Opens a call of the Workload API with nothing but Node's HTTP/2; the request is sent. Throws for a session that is gone. */
export function openCall(session: ClientHttp2Session, method: string, request: Buffer): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/SpiffeWorkloadAPI/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true',
  })
  stream.end(request)
  return stream
}

/** Calls back for each message, and once, with the reason, when there are no more to come. */
export function listen(
  stream: ClientHttp2Stream,
  message: (bytes: Buffer) => void,
  ended: (why: string) => void,
): void {
  let rest: Buffer = Buffer.alloc(0)
  let over = false
  const end = (why: string) => {
    if (over) return
    over = true
    ended(why)
  }
  const status = (headers: Record<string, unknown>) => {
    if (headers['grpc-status'] !== undefined) end(`status ${headers['grpc-status']}: ${headers['grpc-message']}`)
  }
  stream.on('response', status)
  stream.on('trailers', status)
  stream.on('error', (error) => end(error.message))
  stream.on('close', () => end('the stream was closed'))
  stream.on('data', (chunk: Buffer) => {
    const decoded = decodeFrames(Buffer.concat([rest, chunk]))
    rest = decoded.rest
    for (const each of decoded.messages) message(each)
  })
}

/** The first message of a call, or why there is none. Never rejects. */
export function call(
  session: ClientHttp2Session,
  method: string,
  request: Buffer,
  limitMs: number,
): Promise<{ readonly message: Buffer | null; readonly why: string }> {
  return new Promise((resolve) => {
    if (session.closed || session.destroyed) {
      resolve({ message: null, why: 'the connection is gone' })
      return
    }
    const stream = openCall(session, method, request)
    const settle = (message: Buffer | null, why: string) => {
      clearTimeout(late)
      resolve({ message, why })
      stream.close()
    }
    const late = setTimeout(() => settle(null, `no answer for ${limitMs} ms`), limitMs)
    listen(
      stream,
      (message) => settle(message, ''),
      (why) => settle(null, why),
    )
  })
}
