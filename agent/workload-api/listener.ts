import { createServer, type Server, type Socket } from 'node:net'
import { type Caller, callerOf } from '../attestation/caller.js'
import { AgentError, codeOf, messageOf } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { Clock } from '../ports/clock.js'
import type { Kernel } from '../ports/kernel.js'
import type { SocketDirectory, SocketPlace } from '../ports/socket-directory.js'
import {
  type Accepted,
  type CloseReason,
  Connection,
  descriptorOf,
  descriptorOfAccepted,
  dropAccepted,
  openAccepted,
} from './connection.js'
import { type ConnectionRegistry, unidentifiedQuota } from './connections.js'
import type { Fairness } from './fairness.js'
import type { Account } from './rates.js'
import { listenAtPath, listenOnDescriptor } from './socket-file.js'

export interface ListenerOptions {
  readonly kernel: Kernel
  readonly connections: ConnectionRegistry
  /** The subject of a caller: a container id, else the user. */
  readonly subjectOf: (caller: Caller) => string
  readonly clock: Clock
  readonly events: CallerEvents
  readonly fairness: Fairness
  /** Synchronous; called when the connection is in the registry. If it throws, the connection is closed. */
  readonly onConnection: (connection: Connection) => void
}

export type ListenPlace =
  | { readonly socketPath: string; readonly directory: SocketDirectory }
  /** A listening Unix socket that was inherited (LISTEN_FDS). */
  | { readonly fd: number }

/** Milliseconds between two checks of the socket file. */
const LOOK_EVERY_MS = 5_000
/** How long a connection of an unidentified caller stays open to get its error status. */
const UNIDENTIFIED_MS = 1_000
/** Limits of accepting before yielding to the event loop: milliseconds, and connections. */
const ACCEPTING_MS = 10
const MOST_ACCEPTED = 1_024

/** A Unix socket whose callers are known: asks the kernel about each connection at once, when it is accepted. */
export class Listener implements AsyncDisposable {
  /** The latest caller is in a PID namespace that the agent cannot see. */
  callersHidden = false
  readonly #server: Server
  readonly #gauge: Disposable
  #place: SocketPlace | null = null
  #opened = false
  #closed: Promise<void> | undefined
  #accepted = 0
  #lostSince: number | null = null

  constructor(private readonly options: ListenerOptions) {
    // Paused: nothing is read before the caller is identified and the server has accepted the connection.
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
    this.#gauge = options.events.connectionsOpen(() => options.connections.size)
  }

  /**
   * Starts accepting. Throws `agent.already_running`, `file.unsafe`, `file.io`, `config.invalid`, `kernel.unsupported`.
   */
  async open(where: ListenPlace): Promise<void> {
    try {
      if ('fd' in where) await listenOnDescriptor(this.#server, where.fd)
      else this.#place = await listenAtPath(this.#server, where.socketPath, where.directory, this.options.events)
      if (descriptorOf(this.#server) === null) throw withoutDescriptor()
    } catch (error) {
      await this[Symbol.asyncDispose]()
      throw error
    }
    this.#opened = true
    // Without this listener, a full descriptor table at accept would end the agent.
    this.#server.on('error', (error) => this.options.events.acceptFailed(error))
  }

  /** True once it was opened, also after it has stopped. */
  get opened(): boolean {
    return this.#opened
  }

  /** False if the socket file was removed or replaced, so that no caller can connect. */
  intact(): boolean {
    return this.#server.listening && (this.#place?.intact() ?? true)
  }

  /** Since when no caller can connect (wall-clock milliseconds); null while callers can, and before it is opened. */
  lostSince(): number | null {
    return !this.#opened || this.intact() ? null : (this.#lostSince ?? this.options.clock.now())
  }

  /** Checks the socket file regularly until the signal aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#lostSince = this.lostSince()
      await sleepUnlessAborted(this.options.clock, LOOK_EVERY_MS, signal)
    }
  }

  /** Stops accepting, and removes the socket file if it is still ours; open connections stay. */
  stop(): void {
    if (!this.#server.listening) return
    this.#place?.remove()
    this.#server.close()
    this.#closed = new Promise((resolve) => this.#server.once('close', () => resolve()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { connections } = this.options
    this.stop()
    connections.stop()
    connections.closeAll('stopping')
    await this.#closed
    connections[Symbol.dispose]()
    this.#gauge[Symbol.dispose]()
    this.#place?.[Symbol.dispose]()
    this.#place = null
  }

  #accept(socket: Socket): void {
    this.#arrive(socket)
    this.#acceptMore()
  }

  /**
   * Node accepts one connection per iteration of the event loop. During a flood, whose iterations are long, all other
   * callers would wait in the kernel's queue. So all waiting connections are accepted at once; rejecting one is cheap.
   */
  #acceptMore(): void {
    const { clock, events, kernel } = this.options
    const listening = descriptorOf(this.#server)
    if (listening === null) return
    const until = clock.monotonic() + ACCEPTING_MS
    try {
      for (let count = 0; count < MOST_ACCEPTED && clock.monotonic() < until; count++) {
        const fd = kernel.accept(listening)
        if (fd === null) return
        this.#arrive(fd)
      }
    } catch (error) {
      events.acceptFailed(error)
    }
  }

  /** Closes a connection above the rate before any other work; queues the others fairly. */
  #arrive(accepted: Accepted): void {
    const { events, kernel, fairness, subjectOf, connections } = this.options
    const { rates, queue } = fairness
    events.accepted()
    const id = `c${++this.#accepted}`
    // At the limit the caller is not identified, so that a flood costs as little as possible.
    if (connections.full) {
      events.connectionClosed('limit_total', id, null)
      dropAccepted(accepted, kernel)
      return
    }
    const fd = descriptorOfAccepted(accepted)
    const ids = fd === null ? null : kernel.idsOf(fd)
    const known = ids && rates.lastAccount(processOf(ids))
    if (ids && known && this.#isOver(accepted, known, ids.pid)) return
    // A process that connects and disconnects repeatedly is identified once.
    if (known && fd !== null && kernel.hungUp(fd)) {
      events.connectionClosed('hung_up', id, null)
      dropAccepted(accepted, kernel)
      return
    }
    const caller = identify(kernel, fd)
    if (!('error' in caller)) this.callersHidden = false
    else if (caller.error.code === 'caller.foreign_pid_namespace') this.callersHidden = true
    const quota = 'error' in caller ? unidentifiedQuota : { subject: subjectOf(caller), pid: caller.pid }
    const account = rates.account(quota.subject, 'error' in caller ? quota.subject : processOf(caller))
    if (account !== known && this.#isOver(accepted, account, quota.pid)) {
      letGo(caller)
      return
    }
    if (queue.take(quota.subject, () => this.#take(accepted, { id, caller, quota, account }))) return
    fairness.events.connection({ reason: 'waiting', ...quota })
    dropAccepted(accepted, kernel)
    letGo(caller)
  }

  #isOver(accepted: Accepted, account: Account, pid: number | null): boolean {
    const { rates, events } = this.options.fairness
    const reason = rates.connect(account)
    if (reason === null) return false
    dropAccepted(accepted, this.options.kernel)
    events.connection({ reason, subject: account.subject.name, pid })
    return true
  }

  #take(accepted: Accepted, identified: Pick<Connection, 'id' | 'caller' | 'quota' | 'account'>): void {
    const { events, kernel } = this.options
    let socket: Socket
    try {
      socket = openAccepted(accepted, kernel)
    } catch (error) {
      events.acceptFailed(error)
      letGo(identified.caller)
      return
    }
    // Resets and broken pipes are caused by the client and are not failures of the agent.
    socket.on('error', () => socket.destroy())
    const onClose = (connection: Connection, reason: CloseReason) => this.#closing(connection, reason)
    this.#admit(new Connection({ ...identified, socket, onClose }))
  }

  #admit(connection: Connection): void {
    const { connections, events, onConnection } = this.options
    if (!('error' in connection.caller)) events.identified(connection.caller)
    const { caller, id, quota, socket } = connection
    const excess = connections.excess(quota)
    if (excess) {
      this.#turnAway(connection, excess)
      return
    }
    nameSocket(socket, id)
    try {
      connections.add(connection)
    } catch (error) {
      // A caller that exits during its identification is not a defect.
      const exited = codeOf(error) === 'caller.exited'
      if (!exited) events.consumerFailed(error, id)
      this.#turnAway(connection, exited ? 'exited' : 'consumer_failed')
      return
    }
    if ('error' in caller) this.#unidentified(connection, caller.error)
    try {
      onConnection(connection)
    } catch (error) {
      events.consumerFailed(error, id)
      connection.close('consumer_failed')
    }
  }

  /** The kernel did not identify the caller: its calls fail with that error until it connects again. */
  #unidentified(connection: Connection, error: AgentError): void {
    const { events, clock } = this.options
    events.unidentified(error, connection.id)
    if (error.code !== 'caller.unidentified') return
    const timer = clock.after(UNIDENTIFIED_MS, () => connection.close('unidentified'))
    connection.socket.once('close', () => timer[Symbol.dispose]())
  }

  /** Closes a connection that the registry does not accept, and releases its process. */
  #turnAway(connection: Connection, reason: CloseReason): void {
    connection.close(reason)
    letGo(connection.caller)
  }

  #closing({ id, caller }: Connection, reason: CloseReason): void {
    if (reason === 'stopping') return
    this.options.events.connectionClosed(reason, id, 'error' in caller ? null : caller)
  }
}

function letGo(caller: Connection['caller']): void {
  if (!('error' in caller)) caller.process[Symbol.dispose]()
}

/** A name for the process; after a reuse of the pid another process may get it. */
function processOf({ uid, pid }: { readonly uid: number; readonly pid: number }): string {
  return `${uid}:${pid}`
}

function identify(kernel: Kernel, fd: number | null): Caller | { readonly error: AgentError } {
  try {
    if (fd === null) throw withoutDescriptor()
    const peer = kernel.peerOf(fd)
    try {
      return callerOf(peer)
    } catch (error) {
      peer.process[Symbol.dispose]()
      throw error
    }
  } catch (error) {
    return {
      error:
        error instanceof AgentError
          ? error
          : new AgentError('caller.unidentified', `the caller is not known: ${messageOf(error)}`, { cause: error }),
    }
  }
}

function withoutDescriptor(): AgentError {
  return new AgentError(
    'kernel.unsupported',
    `this Node (${process.version}) hides the descriptor of a socket, so no caller can be identified; use a supported version`,
  )
}

/** Sets the remote address of the socket to the connection's id: grpc-js passes it to handlers, which find the caller by it. */
function nameSocket(socket: Socket, id: string): void {
  Object.defineProperty(socket, 'remoteAddress', { value: id })
  Object.defineProperty(socket, 'remotePort', { value: undefined })
}
