import { createServer, type Server, type Socket } from 'node:net'
import { type Caller, callerOf } from '../attestation/caller.js'
import { AgentError, codeOf, messageOf } from '../errors.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { Clock } from '../ports/clock.js'
import type { Kernel } from '../ports/kernel.js'
import type { SocketDirectory, SocketPlace } from '../ports/socket-directory.js'
import { type Arrival, arrivalOf, arrivalOn, descriptorOf } from './arrival.js'
import type { CloseReason, Connection } from './connection.js'
import { type ConnectionLimits, Connections, type Quota, unidentifiedQuota } from './connections.js'
import type { Fairness } from './fairness.js'
import type { Account } from './rates.js'
import { listenAtPath, listenOnDescriptor } from './socket-file.js'

export type ListenOptions = ListenSettings & ListenPlace

interface ListenSettings {
  readonly kernel: Kernel
  readonly limits: ConnectionLimits
  /** Whom a connection counts against: a container id, else the user. */
  readonly subjectOf: (caller: Caller) => string
  readonly clock: Clock
  readonly events: CallerEvents
  readonly fairness: Fairness
  /** Synchronous; takes over `caller.process`. If it throws, the connection is closed and the process let go. */
  readonly onConnection: (connection: Connection) => void
}

type ListenPlace =
  | { readonly socketPath: string; readonly directory: SocketDirectory }
  /** A listening Unix socket that was inherited (LISTEN_FDS). */
  | { readonly fd: number }

export interface Listener extends AsyncDisposable {
  readonly connections: Connections
  /** False when the socket file is gone or another one has taken its place: nobody can connect any more. */
  intact(): boolean
  /** The latest caller that the kernel was asked about is in a PID namespace that the agent cannot see. */
  readonly callersHidden: boolean
  /** Accepts nobody any more and removes the socket file if it is still ours; open connections stay. */
  stop(): void
}

/**
 * A Unix socket whose callers are known: asks the kernel about each connection at once, when it is accepted. Throws
 * `agent.already_running`, `file.unsafe`, `file.io`, `config.invalid`, `kernel.unsupported`.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const endpoint = new Endpoint(options)
  await endpoint.open(options)
  return endpoint
}

/** How long a connection has to learn that the kernel did not say whose it is. */
const UNIDENTIFIED_MS = 1_000
/** How long, and how many, connections are accepted in one turn of the event loop. */
const ACCEPTING_MS = 10
const MOST_ACCEPTED = 1_024

/** A connection that waits to be taken. */
interface Arrived {
  readonly arrival: Arrival
  readonly id: string
  readonly caller: Connection['caller']
  readonly quota: Quota
  readonly account: Account
}

class Endpoint implements Listener {
  readonly connections: Connections
  callersHidden = false
  readonly #server: Server
  readonly #gauge: Disposable
  #place: SocketPlace | null = null
  #closed: Promise<void> | undefined
  #accepted = 0
  #disposed = false

  constructor(private readonly options: ListenSettings) {
    this.connections = new Connections(options.limits, options.clock)
    // Paused: nothing is read before the kernel has said who calls and somebody has taken the connection.
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
    this.#gauge = options.events.connectionsOpen(() => this.connections.size)
  }

  async open(where: ListenPlace): Promise<void> {
    try {
      if ('fd' in where) await listenOnDescriptor(this.#server, where.fd)
      else this.#place = await listenAtPath(this.#server, where.socketPath, where.directory, this.options.events)
      if (descriptorOf(this.#server) === null) throw withoutDescriptor()
    } catch (error) {
      await this[Symbol.asyncDispose]()
      throw error
    }
    // Without a listener for it, a full descriptor table at accept would end the agent.
    this.#server.on('error', (error) => this.options.events.acceptFailed(error))
  }

  intact(): boolean {
    return this.#server.listening && (this.#place?.intact() ?? true)
  }

  stop(): void {
    if (!this.#server.listening) return
    this.#place?.remove()
    this.#server.close()
    this.#closed = new Promise((resolve) => this.#server.once('close', () => resolve()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    this.#disposed = true
    this.connections.closeAll('stopping')
    await this.#closed
    this.connections[Symbol.dispose]()
    this.#gauge[Symbol.dispose]()
    this.#place?.[Symbol.dispose]()
    this.#place = null
  }

  #accept(socket: Socket): void {
    this.#arrive(arrivalOf(socket))
    this.#acceptMore()
  }

  /**
   * Node accepts one connection in a turn of the event loop: behind a flood, whose turns are long, everybody else waits
   * in the kernel's queue. So what is there is taken at once, and those that are to be turned away cost little more.
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
        this.#arrive(arrivalOn(fd, kernel))
      }
    } catch (error) {
      events.acceptFailed(error)
    }
  }

  /** Turns away whoever is over his rate before anything is done for him; the others are taken in their turn. */
  #arrive(arrival: Arrival): void {
    const { events, kernel, fairness, subjectOf } = this.options
    const { rates, turns } = fairness
    events.accepted()
    const id = `c${++this.#accepted}`
    // When all is taken, nobody is looked at: a flood costs as little as it can.
    if (this.connections.full) {
      events.connectionClosed('limit_total', id, null)
      arrival.drop()
      return
    }
    const ids = arrival.fd === null ? null : kernel.idsOf(arrival.fd)
    const known = ids && rates.lastAccount(processOf(ids))
    if (ids && known && this.#isOver(arrival, known, ids.pid)) return
    // Whoever connects and goes, over and over, is looked at once.
    if (known && arrival.fd !== null && kernel.hungUp(arrival.fd)) {
      events.connectionClosed('hung_up', id, null)
      arrival.drop()
      return
    }
    const caller = identify(kernel, arrival.fd)
    if (!('error' in caller)) this.callersHidden = false
    else if (caller.error.code === 'caller.foreign_pid_namespace') this.callersHidden = true
    const quota = 'error' in caller ? unidentifiedQuota : { subject: subjectOf(caller), pid: caller.pid }
    const account = rates.account(quota.subject, 'error' in caller ? quota.subject : processOf(caller))
    if (account !== known && this.#isOver(arrival, account, quota.pid)) {
      letGo(caller)
      return
    }
    const arrived: Arrived = { arrival, id, caller, quota, account }
    if (turns.take(quota.subject, () => this.#take(arrived))) return
    fairness.events.connection({ reason: 'waiting', ...quota })
    arrival.drop()
    letGo(caller)
  }

  #isOver(arrival: Arrival, account: Account, pid: number | null): boolean {
    const { rates, events } = this.options.fairness
    const reason = rates.connect(account)
    if (reason === null) return false
    arrival.drop()
    events.connection({ reason, subject: account.subject.name, pid })
    return true
  }

  #take({ arrival, id, caller, quota, account }: Arrived): void {
    let socket: Socket
    try {
      socket = arrival.open()
    } catch (error) {
      this.options.events.acceptFailed(error)
      letGo(caller)
      return
    }
    // Resets and broken pipes are the client's affair.
    socket.on('error', () => socket.destroy())
    const connection: Connection = {
      id,
      caller,
      quota,
      account,
      socket,
      close: (reason) => this.#close(connection, reason),
    }
    try {
      this.#admit(connection)
    } catch (error) {
      // Whoever ends while he is being looked at is no defect of ours.
      const exited = codeOf(error) === 'caller.exited'
      if (!exited) this.options.events.consumerFailed(error, id)
      this.#turnAway(connection, exited ? 'exited' : 'consumer_failed')
    }
  }

  #admit(connection: Connection): void {
    const { caller, id, quota, socket } = connection
    const excess = this.#disposed ? 'stopping' : this.connections.excess(quota)
    if (excess) {
      this.#turnAway(connection, excess)
      return
    }
    nameSocket(socket, id)
    this.connections.add(connection, quota)
    socket.once('close', () => this.connections.remove(id))
    if ('error' in caller) this.#unidentified(connection, caller.error)
    this.options.onConnection(connection)
  }

  /** Where the kernel could not be asked, the caller is told so, and has to connect again to be asked about anew. */
  #unidentified({ id, socket, close }: Connection, error: AgentError): void {
    const { events, clock } = this.options
    events.unidentified(error, id)
    if (error.code !== 'caller.unidentified') return
    const timer = clock.after(UNIDENTIFIED_MS, () => close('unidentified'))
    socket.once('close', () => timer[Symbol.dispose]())
  }

  /** Nobody takes the connection: its process is let go here. */
  #turnAway(connection: Connection, reason: CloseReason): void {
    connection.close(reason)
    letGo(connection.caller)
  }

  #close({ id, caller, socket }: Connection, reason: CloseReason): void {
    if (socket.destroyed) return
    if (reason !== 'stopping') this.options.events.connectionClosed(reason, id, 'error' in caller ? null : caller)
    socket.destroy()
  }
}

function letGo(caller: Connection['caller']): void {
  if (!('error' in caller)) caller.process[Symbol.dispose]()
}

/** The same name for the same process; another one may have it later. */
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
    `this Node (${process.version}) hides the descriptor of a socket, so nobody can be identified; use a supported one`,
  )
}

/** grpc-js gives handlers the remote address of the socket: with it they find the connection, hence the caller. */
function nameSocket(socket: Socket, id: string): void {
  Object.defineProperty(socket, 'remoteAddress', { value: id })
  Object.defineProperty(socket, 'remotePort', { value: undefined })
}
