import {
  type Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  makeGenericClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'

export const SECURITY_HEADER = { 'workload.spiffe.io': 'true' }
export const SPIFFE = '/SpiffeWorkloadAPI'
export const AUTHSEC = '/spiffe.workload.SpiffeWorkloadAPI'

/** A server stream read message by message, without any client library's own opinions. */
export interface RawStream extends Disposable {
  /** The next message; rejects with the gRPC status that ended the stream. */
  next(): Promise<Buffer>
}

export interface RawOptions {
  /** Several values of one key are sent one after the other. */
  readonly metadata?: Readonly<Record<string, string | readonly string[]>>
  readonly request?: Uint8Array
}

/** One request, one answer; rejects with the gRPC status. */
export async function callUnary(address: string, path: string, options: RawOptions = {}): Promise<Buffer> {
  const client = connect(address)
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const answered = (error: ServiceError | null, message?: Buffer) =>
        error ? reject(error) : resolve(message ?? Buffer.alloc(0))
      const request = Buffer.from(options.request ?? [])
      client.makeUnaryRequest(
        path,
        same,
        same,
        request,
        headersOf(options),
        { deadline: Date.now() + 10_000 },
        answered,
      )
    })
  } finally {
    client.close()
  }
}

function connect(address: string): Client {
  const Raw = makeGenericClientConstructor({}, 'raw')
  return new Raw(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
}

function headersOf({ metadata = {} }: RawOptions): Metadata {
  const headers = new Metadata()
  for (const [key, values] of Object.entries(metadata)) for (const value of [values].flat()) headers.add(key, value)
  return headers
}

function same(bytes: Buffer): Buffer {
  return bytes
}

export function openStream(address: string, path: string, options: RawOptions = {}): RawStream {
  const client = connect(address)
  const call: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
    path,
    same,
    same,
    Buffer.from(options.request ?? []),
    headersOf(options),
  )
  const messages: Buffer[] = []
  let ended: ServiceError | null = null
  let wake: () => void = () => undefined
  call.on('data', (message: Buffer) => {
    messages.push(message)
    wake()
  })
  call.on('error', (error: ServiceError) => {
    ended ??= error
    wake()
  })
  call.on('end', () => {
    ended ??= Object.assign(new Error('the stream ended without a status error'), { code: 0 }) as ServiceError
    wake()
  })
  return {
    async next() {
      for (;;) {
        const message = messages.shift()
        if (message) return message
        if (ended) throw ended
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    [Symbol.dispose]() {
      call.cancel()
      client.close()
    },
  }
}
