import {
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

export function openStream(
  address: string,
  path: string,
  options: { metadata?: Record<string, string>; request?: Uint8Array } = {},
): RawStream {
  const Client = makeGenericClientConstructor({}, 'raw')
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
  const headers = new Metadata()
  for (const [key, value] of Object.entries(options.metadata ?? {})) headers.set(key, value)
  const same = (bytes: Buffer) => bytes
  const call: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
    path,
    same,
    same,
    Buffer.from(options.request ?? []),
    headers,
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
