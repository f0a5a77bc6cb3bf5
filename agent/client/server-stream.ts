import { create, type DescMethod, toBinary } from '@bufbuild/protobuf'
import { type Client, Metadata } from '@grpc/grpc-js'
import type { ClientDialect } from './dialect.js'

/** The methods that push. */
export type StreamingMethod = 'FetchX509SVID' | 'FetchX509Bundles' | 'FetchJWTBundles'

/**
 * The encoded messages of one server-streaming call with an empty request. Ends when the server ends the call; throws its
 * status error, or the signal's reason. Leaving the loop cancels the call. The flow control of HTTP/2 slows the server
 * down to the pace of the reader.
 */
export async function* serverStream(
  client: Client,
  dialect: ClientDialect,
  name: StreamingMethod,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted()
  const method = methodOf(dialect, name)
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(dialect.metadata)) metadata.set(key, value)
  const call = client.makeServerStreamRequest(
    `/${dialect.service.typeName}/${name}`,
    (request: Uint8Array) => Buffer.from(request),
    (message: Buffer): Uint8Array => message,
    toBinary(method.input, create(method.input)),
    metadata,
  )
  // grpc-js emits the status of a cancelled call after the iteration has ended, which without a listener would throw.
  call.on('error', ignored)
  const abort = () => call.cancel()
  signal.addEventListener('abort', abort, { once: true })
  try {
    for await (const message of call) yield message as Uint8Array
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
    call.cancel()
  }
  signal.throwIfAborted()
}

function methodOf(dialect: ClientDialect, name: string): DescMethod {
  const method = dialect.service.methods.find((candidate) => candidate.name === name)
  if (!method) throw new TypeError(`${dialect.service.typeName} has no ${name}`)
  return method
}

function ignored(): void {}
