import { Metadata, Server, ServerCredentials, type ServerWritableStream, type status } from '@grpc/grpc-js'
import type { DialectName } from '../../../agent/client/dialect-name.js'
import { TemporaryDirectory } from './sockets.js'

type Call = ServerWritableStream<Buffer, Buffer>

/** What the next call gets: messages, then an end; without an end the call stays open. */
export interface Script {
  readonly messages?: readonly Uint8Array[]
  readonly end?: 'ok' | { readonly code: status; readonly details: string }
}

const SERVICES: Readonly<Record<DialectName, string>> = {
  spiffe: 'SpiffeWorkloadAPI',
  authsec: 'spiffe.workload.SpiffeWorkloadAPI',
}

/** A Workload API that does what it is told to, on a real socket: what a good agent never does can be asked of it. */
export class ScriptedApi implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory()
  readonly #scripts: Script[] = []
  #server: Server | null = null
  /** Metadata of each call, in order. */
  readonly calls: { readonly path: string; readonly metadata: Metadata; readonly call: Call }[] = []

  get address(): string {
    return `unix://${this.#directory.file('agent.sock')}`
  }

  /** For the next call that has none yet. */
  script(...scripts: readonly Script[]): void {
    this.#scripts.push(...scripts)
  }

  async start(): Promise<this> {
    const server = new Server()
    for (const service of Object.values(SERVICES)) {
      const methods = ['FetchX509SVID', 'FetchX509Bundles'].map((name) => [name, `/${service}/${name}`] as const)
      server.addService(
        Object.fromEntries(methods.map(([name, path]) => [name, definition(path)])),
        Object.fromEntries(methods.map(([name, path]) => [name, (call: Call) => this.#serve(path, call)])),
      )
    }
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(this.address, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      ),
    )
    this.#server = server
    return this
  }

  /** Cuts every connection. */
  stop(): void {
    this.#server?.forceShutdown()
    this.#server = null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    this.#directory[Symbol.dispose]()
  }

  #serve(path: string, call: Call): void {
    this.calls.push({ path, metadata: call.metadata, call })
    const { messages = [], end } = this.#scripts.shift() ?? {}
    for (const message of messages) call.write(Buffer.from(message))
    if (end === 'ok') call.end()
    else if (end) call.emit('error', { ...end, metadata: new Metadata() })
  }
}

function definition(path: string) {
  const same = (bytes: Buffer) => bytes
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
