import { type Server, Socket } from 'node:net'
import type { Caller } from '../attestation/caller.js'
import type { AgentError } from '../errors.js'
import type { Kernel } from '../ports/kernel.js'
import type { Account, Exceeded } from './rates.js'
import type { ResponseStream } from './stream.js'
import type { Workload } from './workload.js'

/** Why a connection was closed by us; the label of `icp_agent_connections_refused_total`. */
export type CloseReason =
  | 'limit_total'
  | 'limit_subject'
  | 'limit_pid'
  | 'limit_unidentified'
  | Exceeded
  | 'waiting'
  | 'unidentified'
  | 'idle'
  | 'exited'
  | 'stalled'
  | 'stopping'
  | 'consumer_failed'

/** The subject and process whose limits a connection counts against. */
export interface Quota {
  readonly subject: string
  /** Null if unknown. */
  readonly pid: number | null
}

interface ConnectionParts {
  readonly id: string
  readonly caller: Caller | { readonly error: AgentError }
  readonly quota: Quota
  readonly account: Account
  readonly socket: Socket
  /** Called before it is closed by us. */
  readonly onClose: (connection: Connection, reason: CloseReason) => void
}

/** One connection of the socket, with its peer as the kernel reported it at accept. */
export class Connection {
  /** `c17`; `call.getPeer()` of grpc-js returns exactly this. */
  readonly id: string
  /** The caller, or why it is unknown: calls on such a connection get an error status. */
  readonly caller: Caller | { readonly error: AgentError }
  readonly quota: Quota
  readonly account: Account
  /** Paused; call `resume()` before it is handed to the HTTP/2 session. */
  readonly socket: Socket
  /** Null if the caller is unknown, and before the connection is in the registry. */
  workload: Workload | null = null
  /** Open streams of the connection. */
  readonly streams = new Set<ResponseStream>()
  /** Number of calls in progress; maintained by the registry. */
  calls = 0
  /** Monotonic milliseconds; maintained by the registry. */
  idleSince = 0
  /** When it was accepted, in wall-clock milliseconds; maintained by the registry. */
  since = 0
  readonly #onClose: ConnectionParts['onClose']

  constructor({ id, caller, quota, account, socket, onClose }: ConnectionParts) {
    this.id = id
    this.caller = caller
    this.quota = quota
    this.account = account
    this.socket = socket
    this.#onClose = onClose
  }

  /** Closes it at once. Further calls do nothing. */
  close(reason: CloseReason): void {
    if (this.socket.destroyed) return
    this.#onClose(this, reason)
    this.socket.destroy()
  }
}

/**
 * An accepted connection: a socket of Node, or a bare descriptor that the listener accepted itself, because the socket is
 * most of the cost of a connection.
 */
export type Accepted = Socket | number

/** Null if Node hides it. */
export function descriptorOfAccepted(accepted: Accepted): number | null {
  return typeof accepted === 'number' ? accepted : descriptorOf(accepted)
}

/** Its socket, paused. If it throws because none can be made, the descriptor is closed. */
export function openAccepted(accepted: Accepted, kernel: Pick<Kernel, 'close'>): Socket {
  if (typeof accepted !== 'number') return accepted
  try {
    // Nothing is read before the server has taken the connection.
    return new Socket({ fd: accepted, readable: true, writable: true }).pause()
  } catch (error) {
    kernel.close(accepted)
    throw error
  }
}

/** Closes it before a Connection is made of it. */
export function dropAccepted(accepted: Accepted, kernel: Pick<Kernel, 'close'>): void {
  if (typeof accepted === 'number') kernel.close(accepted)
  else accepted.destroy()
}

/** The descriptor, which Node does not publish; peer credentials are read from it. */
export function descriptorOf(owner: Socket | Server): number | null {
  const handle: unknown = Reflect.get(owner, '_handle')
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return null
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : null
}
