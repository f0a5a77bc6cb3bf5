import { createServer, type Server as SocketServer } from 'node:net'
import { Server, ServerCredentials, type ServerWritableStream, type StatusObject, status } from '@grpc/grpc-js'
import { socketPair } from '../../../agent/platform/socket-pair.js'
import { openConnection } from '../../../agent/workload-api/open-connection.js'
import { type AUTHSEC, openStream, SECURITY_HEADER, type SPIFFE } from '../../support/raw-stream.js'

const same = (bytes: Buffer) => bytes
const STREAMS = ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles'] as const
/** How long a stream that was answered lives on. */
const LIFE_MS = 300

export type Messages = Readonly<Record<string, Buffer>>

/** What an agent says first on each stream, in the encoding of a dialect. */
export async function firstMessages(address: string, service: typeof SPIFFE | typeof AUTHSEC): Promise<Messages> {
  const entries = STREAMS.map(async (name) => {
    using stream = openStream(address, `${service}/${name}`, { metadata: SECURITY_HEADER })
    return [`${service}/${name}`, await stream.next()] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

/** A Workload API that answers each stream with one good message and ends it with a status of its choice. */
export class StatusServer implements Disposable {
  /** How often each method was called, by its name. */
  readonly calls = new Map<string, number>()
  readonly #server = new Server()
  readonly #sockets: SocketServer

  private constructor(messages: Messages, code: status) {
    const paths = Object.keys(messages)
    const answers = paths.map((path) => [path, this.#answer(path, messages[path] ?? Buffer.alloc(0), code)])
    this.#server.addService(Object.fromEntries(paths.map((path) => [path, method(path)])), Object.fromEntries(answers))
    // Taken as the agent takes them, clients with odd authorities included.
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#sockets = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => socket.destroy())
      openConnection(socket, socketPair, (shown) => injector.injectConnection(shown))
    })
  }

  static async start(socketPath: string, messages: Messages, code: status): Promise<StatusServer> {
    const server = new StatusServer(messages, code)
    await new Promise<void>((resolve) => server.#sockets.listen(socketPath, resolve))
    return server
  }

  [Symbol.dispose](): void {
    this.#sockets.close()
    this.#server.forceShutdown()
  }

  #answer(path: string, message: Buffer, code: status) {
    const name = path.split('/')[2] ?? ''
    return (call: ServerWritableStream<Buffer, Buffer>) => {
      this.calls.set(name, (this.calls.get(name) ?? 0) + 1)
      call.write(message)
      setTimeout(
        () => call.emit('error', { code, details: 'the test ends the stream' } satisfies Partial<StatusObject>),
        LIFE_MS,
      )
    }
  }
}

function method(path: string) {
  return {
    path,
    requestStream: false,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  }
}

/** `PermissionDenied`, as SPIFFE's papers write it. */
export function nameOf(code: status): string {
  if (code === status.CANCELLED) return 'Canceled'
  return (status[code] ?? '').toLowerCase().replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
