import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { type Server, ServerCredentials } from '@grpc/grpc-js'
import { AgentError } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { Connection } from './connection.js'
import type { ConnectionRegistry } from './connections.js'
import type { Fairness } from './fairness.js'
import type { Exceeded } from './rates.js'
import { Readers } from './readers.js'
import { type Receiving, UnfinishedMessages } from './unfinished.js'

/** With this many waiting calls of a subject, its connections are not read. */
const MANY = 256
const LOOK_AGAIN_MS = 20
const TOO_MANY = new AgentError('request.too_many', 'too many calls')

/**
 * RFC 9113 7. For gRPC: Unavailable. ENHANCE_YOUR_CALM would be ResourceExhausted, after which some clients give up.
 */
const REFUSED_STREAM = 7
/** For gRPC: ResourceExhausted, like any message that is too large. */
const ENHANCE_YOUR_CALM = 11

/** A connection, as HTTP/2 sees it. */
interface Session {
  readonly destroyed: boolean
  /** Sends GOAWAY and reads nothing more, not even data that has arrived. */
  destroy(error: Error, code: number): void
}

/** A call, as HTTP/2 sees it. */
interface Stream extends Receiving {
  readonly session: Session | undefined
  readonly destroyed: boolean
  readonly closed: boolean
  readonly aborted: boolean
  on(event: 'error', listener: () => void): unknown
  on(event: 'data', listener: (part: Buffer) => void): unknown
  close(code: number): void
  destroy(): unknown
}

interface SettingsTaker {
  updateSettings(settings: { readonly maxHeaderListSize: number }): void
}

/**
 * SETTINGS_MAX_HEADER_LIST_SIZE, as advertised to clients (RFC 9113 6.5.2). nghttp2 ends the connection at a string of
 * more than 64 KiB, and some clients then repeat the call until their deadline. Clients that respect the setting (Go) end
 * the call themselves. Text of this length, at seven bits a character, fits into 64 KiB if it is Huffman-coded.
 */
const MAX_HEADERS_BYTES = 75_000

/** The listener of grpc-js that begins a call. */
type Begin = (stream: Stream, ...rest: readonly unknown[]) => void

/**
 * Between HTTP/2 and grpc-js: charges each call to its caller before grpc-js handles it, and begins it when its subject is
 * next in the fair queue. The first call above a rate ends its connection, so that HTTP/2 does not read further calls that
 * have already arrived.
 */
export class CallGate implements Disposable {
  readonly #inject: (socket: Socket) => void
  readonly #owners = new WeakMap<Session, Connection>()
  readonly #readers: Readers
  readonly #unfinished: UnfinishedMessages
  #opening: Connection | null = null

  /** Throws `internal` if the internals of grpc-js are not as expected. */
  constructor(
    server: Server,
    private readonly fairness: Fairness,
    private readonly connections: ConnectionRegistry,
    clock: Pick<Clock, 'after'>,
    private readonly toGrpc: (stream: Stream, begin: () => void) => void,
  ) {
    this.#readers = new Readers(connections, clock)
    this.#unfinished = new UnfinishedMessages(clock)
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#inject = (socket) => injector.injectConnection(socket)
    const http2 = http2Of(server)
    const listeners = http2.listeners('stream')
    const [begin] = listeners
    if (typeof begin !== 'function' || listeners.length !== 1) throw builtOtherwise()
    http2.updateSettings({ maxHeaderListSize: MAX_HEADERS_BYTES })
    http2.removeAllListeners('stream')
    http2.on('stream', (stream: Stream, ...rest: readonly unknown[]) =>
      this.#came(stream, () => (begin as Begin)(stream, ...rest)),
    )
    http2.on('session', (session: Session) => {
      if (this.#opening) this.#owners.set(session, this.#opening)
    })
  }

  /**
   * Hands the connection to HTTP/2 when its subject is next in the queue. `socket` is the connection's own, or one that
   * replaces it.
   */
  open(connection: Connection, socket: Socket): void {
    const { rates } = this.fairness
    const open = () => {
      // Earlier calls have exceeded the rate.
      if (rates.owedFor(connection.account) > 0) {
        connection.close('rate_subject')
        return
      }
      this.#readers.add(connection, socket)
      this.#opening = connection
      try {
        this.#inject(socket)
      } finally {
        this.#opening = null
      }
    }
    if (!this.#takeTurn(connection, open)) connection.close('waiting')
  }

  [Symbol.dispose](): void {
    this.#readers[Symbol.dispose]()
  }

  #came(stream: Stream, begin: () => void): void {
    // grpc-js listens only once a call begins; calls that wait or never begin can also emit an error.
    stream.on('error', ignore)
    const { session } = stream
    const owner = session && this.#owners.get(session)
    if (!owner) {
      stream.destroy()
      return
    }
    const { rates, queue } = this.fairness
    const { account, quota } = owner
    const exceeded = rates.call(account)
    if (session.destroyed) return
    if (exceeded) this.#end(session, owner, exceeded)
    else if (!this.#takeTurn(owner, () => this.#began(stream, owner, begin))) this.#end(session, owner, 'waiting')
    else if (queue.waiting(quota.subject) >= MANY) {
      this.#readers.pause(account, null, () => (queue.waiting(quota.subject) > 0 ? LOOK_AGAIN_MS : 0))
    }
  }

  /** Begins a queued call, unless the client has cancelled it meanwhile. */
  #began(stream: Stream, owner: Connection, begin: () => void): void {
    if (stream.destroyed || stream.closed || stream.aborted) return
    this.toGrpc(stream, begin)
    if (stream.destroyed || stream.closed) return
    this.#unfinished.watch(stream, owner.quota.subject, () => {
      this.fairness.events.call({ reason: 'unfinished', ...owner.quota })
      stream.close(ENHANCE_YOUR_CALM)
    })
  }

  /** Queues a job; meanwhile the connection is not idle. */
  #takeTurn(connection: Connection, job: () => void): boolean {
    let done = false
    let waits = false
    const taken = this.fairness.queue.take(connection.quota.subject, () => {
      done = true
      if (waits) this.connections.callEnded(connection)
      job()
    })
    if (taken && !done) {
      waits = true
      this.connections.callStarted(connection)
    }
    return taken
  }

  /** Ends the connection; the caller's other connections are not read until its calls are within the rate again. */
  #end(session: Session, owner: Connection, reason: Exceeded | 'waiting'): void {
    const { events, rates } = this.fairness
    events.call({ reason, ...owner.quota })
    // After GOAWAY is written.
    setImmediate(() => owner.close(reason))
    session.destroy(TOO_MANY, REFUSED_STREAM)
    const process = reason === 'rate_process' ? owner.account : null
    this.#readers.pause(owner.account, process, () => rates.owedFor(owner.account))
  }
}

function ignore(): void {}

function takesSettings(http2: EventEmitter): http2 is EventEmitter & SettingsTaker {
  return 'updateSettings' in http2 && typeof http2.updateSettings === 'function'
}

/** The HTTP/2 server of grpc-js, which has no public access: our listener must run before that of grpc-js. */
function http2Of(server: Server): EventEmitter & SettingsTaker {
  const servers: unknown = Reflect.get(server, 'http2Servers')
  const http2: unknown = servers instanceof Map ? [...servers.keys()].at(-1) : null
  if (!(http2 instanceof EventEmitter) || !takesSettings(http2)) throw builtOtherwise()
  return http2
}

/** Can happen only at the start, with another version of grpc-js than that of package-lock.json. */
function builtOtherwise(): AgentError {
  return new AgentError('internal', 'this grpc-js does not say where calls begin, so calls cannot be limited')
}
