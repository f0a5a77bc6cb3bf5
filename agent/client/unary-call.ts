import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js'
import type { ClientDialect } from './dialect.js'

/** One unary call. Rejects with its status error, or the signal's reason when it aborts. */
export function unaryCall(
  client: Client,
  dialect: ClientDialect,
  name: 'FetchJWTSVID' | 'ValidateJWTSVID',
  request: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  signal.throwIfAborted()
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(dialect.metadata)) metadata.set(key, value)
  return new Promise((resolve, reject) => {
    const settled = (error: ServiceError | null, message?: Uint8Array) => {
      signal.removeEventListener('abort', abort)
      if (signal.aborted) reject(signal.reason)
      else if (error) reject(error)
      else resolve(message ?? new Uint8Array())
    }
    const call = client.makeUnaryRequest(
      `/${dialect.service.typeName}/${name}`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (message: Buffer): Uint8Array => message,
      request,
      metadata,
      settled,
    )
    const abort = () => call.cancel()
    signal.addEventListener('abort', abort, { once: true })
  })
}
