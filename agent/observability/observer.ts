import type { ErrorCode } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { NearEntry } from './api-events.js'

/** The process that called, as the kernel named it. */
export interface CallerIds {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** The workload that is served. */
export interface Served {
  readonly caller: CallerIds
  readonly selectors: Selectors
  /** Identifies one process with one executable and one set of credentials. */
  readonly key: string
}

/** An X.509-SVID that is served, by the entry that it was issued for. */
export interface ServedX509 {
  readonly entryId: string
  readonly svid: ShownX509
}

/** An X.509-SVID without its key. Times here and below: milliseconds since 1970. */
export interface ShownX509 {
  readonly spiffeId: SpiffeId
  readonly serial: string
  readonly notAfter: number
}

/** A JWT-SVID without the token. */
export interface ShownJwt {
  readonly spiffeId: SpiffeId
  readonly audience: readonly string[]
  /** `jti`, or the SHA-256 of the token where it has none. */
  readonly id: string
  readonly expiresAt: number
}

/** A call that was denied. */
export interface Denied {
  /** The denial id in the caller's error; repeated calls with the same answer get the same id. */
  readonly id: string
  readonly method: string
  readonly code: ErrorCode
  readonly message: string
  /** False if the same denial was reported before. */
  readonly first: boolean
  /** Identifies the process, also when its pid is reused. */
  readonly process: string
  readonly unavailable: readonly string[]
  readonly notes: readonly { readonly attestor: string; readonly text: string }[]
  /** Searches all entries, which takes some milliseconds; null unless a caller is first told that none matches. */
  readonly nearest: (() => readonly NearEntry[]) | null
}

/** Who connected to the admin socket. */
export interface AdminIds {
  readonly pid: number
  readonly uid: number
}

/** Which settings a reload changed, and what started it. */
export interface ConfigurationChange {
  /** Names of settings, without values. */
  readonly keys: readonly string[]
  /** What started it: `SIGHUP`, `reload`, … */
  readonly how: string
}

/**
 * A sink beside log and metrics, for records that need values and not texts: an audit log, traces. Event functions call
 * it when the event happens, or before a message is sent where the comment says so. Nothing here is secret. A method
 * returns at once and does not throw. Without observers an event only iterates over an empty list.
 */
export interface Observer {
  /** A connection was accepted; all later calls about it get the same `caller` object. */
  callerAccepted?(caller: CallerIds): void
  /** One attestor has answered or failed. `outcome` here and below: `ok`, or an error code. */
  attestorAsked?(caller: CallerIds, attestor: string, ms: number, outcome: string): void
  /** `outcome` is `partial` if a platform was unavailable. */
  workloadAttested?(caller: CallerIds, ms: number, outcome: string): void
  /** `decision`: send, hold or refuse; `code`: why not send. */
  decided?(caller: CallerIds, method: string, decision: string, code: string | null): void
  /** A message was written. `ms`: since the call where it is the first one, else 0. */
  pushed?(caller: CallerIds, method: string, ms: number): void
  issuanceEnded?(kind: 'x509' | 'jwt', entryId: string, ms: number, outcome: string): void
  /** The agent's own SVID. */
  nodeAttested?(svid: ShownX509, how: 'attested' | 'renewed'): void
  x509Issued?(entryId: string, svid: ShownX509): void
  jwtIssued?(entryId: string, svid: ShownJwt): void
  /** Before a message with X.509-SVIDs is sent: with each message, also if only a bundle changed. */
  x509Served?(to: Served, svids: readonly ServedX509[]): void
  /** Before the answer is sent. */
  jwtServed?(to: Served, svids: readonly ShownJwt[]): void
  denied?(caller: CallerIds, selectors: Selectors, denied: Denied): void
  /** Once a connection, not a request. */
  adminConnected?(administrator: AdminIds): void
  /** A reload has put another configuration into force. */
  configurationChanged?(change: ConfigurationChange): void
  /** The process with this key has ended. */
  workloadEnded?(key: string): void
  /** The server no longer lists the entry, so its SVIDs are no longer served. */
  entryWithdrawn?(entryId: string): void
  /** The server has revoked the SVID with this serial. */
  x509Revoked?(serial: string): void
}
