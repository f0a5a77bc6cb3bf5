import { connect, type Socket } from 'node:net'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const TYPE = { data: 0, headers: 1, rst: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 } as const
export const END_STREAM = 1
export const END_HEADERS = 4

/** One HTTP/2 frame, whatever it holds (RFC 9113 4.1). */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals without indexing (RFC 7541 6.2.2). */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]))
}

/** The request of a call of the standard dialect. */
export function callHeaders(method: string, extra: readonly (readonly [string, string])[] = []): Buffer {
  return headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', `/SpiffeWorkloadAPI/${method}`],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ['workload.spiffe.io', 'true'],
    ...extra,
  ])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const length: number[] = []
  if (bytes.length < 127) length.push(bytes.length)
  else {
    length.push(127)
    let rest = bytes.length - 127
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128)
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

/** A client that writes what it likes and reads on, or not. */
export class RawClient implements Disposable {
  readonly socket: Socket
  /** Resolves when the agent has closed the connection. */
  readonly closed: Promise<void>

  constructor(address: string, { reads = true } = {}) {
    this.socket = connect(address.replace('unix://', ''))
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()))
    // The agent may cut it off at any moment; what is written then goes nowhere.
    this.socket.on('error', () => this.socket.destroy())
    if (reads) this.socket.resume()
  }

  get open(): boolean {
    return !this.socket.destroyed
  }

  /** Writes as fast as the agent reads; stops where it is cut off. */
  async write(...pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      if (!this.open) return
      if (this.socket.write(piece)) continue
      await Promise.race([new Promise<void>((resolve) => this.socket.once('drain', () => resolve())), this.closed])
    }
  }

  /** Begins as HTTP/2 does. */
  async begin(settings = Buffer.alloc(0)): Promise<void> {
    await this.write(PREFACE, frame(TYPE.settings, 0, 0, settings))
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
