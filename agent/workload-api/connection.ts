import type { Socket } from 'node:net'
import type { Caller } from '../attestation/caller.js'
import type { AgentError } from '../errors.js'
import type { Quota } from './connections.js'
import type { Account, Exceeded } from './rates.js'

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

/** One accepted connection of the socket, with what the kernel said of its peer at accept. */
export interface Connection {
  /** `c17`; `call.getPeer()` of grpc-js gives exactly this. */
  readonly id: string
  /**
   * The caller, or why nobody knows who it is: such a connection gets a gRPC status, never an identity. Whoever takes
   * the connection owns `caller.process` from then on (Workloads.acquire takes it over).
   */
  readonly caller: Caller | { readonly error: AgentError }
  /** Against whom it counts. */
  readonly quota: Quota
  readonly account: Account
  /** Paused; call `resume()` before it is handed to the HTTP/2 session. */
  readonly socket: Socket
  /** Ends it at once. Later calls do nothing. */
  close(reason: CloseReason): void
}
