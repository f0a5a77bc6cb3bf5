import type { Caller } from '../attestation/caller.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { Clock } from '../ports/clock.js'
import type { Kernel } from '../ports/kernel.js'
import type { SocketDirectory } from '../ports/socket-directory.js'
import type { Connection } from './connection.js'
import type { Connections } from './connections.js'

/** What the endpoint holds open; see the settings `limits`. */
export interface ConnectionLimits {
  readonly connections: number
  readonly connectionsPerSubject: number
  readonly connectionsPerPid: number
  /** A connection on which no call was made for so long is closed. */
  readonly idleConnectionMs: number
}

export type ListenOptions = {
  readonly kernel: Kernel
  readonly limits: ConnectionLimits
  /** Whom a connection counts against: a container id, else the user. */
  readonly subjectOf: (caller: Caller) => string
  readonly clock: Clock
  readonly events: CallerEvents
  /** Synchronous; if it throws, the connection is closed and the caller's handle disposed. */
  readonly onConnection: (connection: Connection) => void
} & (
  | { readonly socketPath: string; readonly directory: SocketDirectory }
  /** A listening Unix socket that was inherited (LISTEN_FDS). */
  | { readonly fd: number }
)

export interface Listener extends AsyncDisposable {
  readonly connections: Connections
  /** False when the socket file is gone or another one has taken its place: nobody can connect any more. */
  intact(): boolean
  /** Accepts nobody any more and removes the socket file if it is still ours; open connections stay. */
  stop(): void
}
