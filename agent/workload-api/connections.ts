import type { Caller } from '../attestation/caller.js'
import type { Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { CloseReason, Connection, Quota } from './connection.js'
import type { Workload, WorkloadDescription } from './workload.js'

/** Limits of open connections. */
export interface ConnectionLimits {
  readonly connections: number
  /** Per container, else per user. */
  readonly connectionsPerSubject: number
  readonly connectionsPerPid: number
  /** A connection without an open call is closed after this many milliseconds. */
  readonly idleConnectionMs: number
}

/** The subject that all unidentified callers share. */
const UNIDENTIFIED = 'unidentified'
const MAX_UNIDENTIFIED = 64

export interface ConnectionListing {
  readonly id: string
  /** Calls in progress on it. */
  readonly calls: number
  readonly streams: readonly StreamListing[]
  /** When it was accepted; wall-clock milliseconds. */
  readonly since: number
}

export interface StreamListing {
  readonly dialect: string
  readonly method: Method
  readonly since: number
  /** Messages that were sent on it. */
  readonly sent: number
}

/** A workload that is connected. */
export interface WorkloadListing extends WorkloadDescription {
  readonly connections: readonly ConnectionListing[]
}

/** A connected workload before it is described, which requires matching the entries. */
export interface ConnectedWorkload {
  readonly pid: number
  /** Unique to the workload. */
  readonly key: string
  describe(): WorkloadListing
}

/** Provides the workload of a caller. */
export interface WorkloadSource {
  /** Counted: each call needs one `release()`. Takes ownership of `caller.process`. Throws `caller.exited`. */
  acquire(caller: Caller): Workload
}

/**
 * All open connections: counted in total, by subject and by pid; found by the name under which grpc-js knows their peer;
 * each with the workload of its caller. Closes connections without calls after a while, because a client that never sends
 * a byte would otherwise stay for ever.
 */
export class ConnectionRegistry implements Disposable {
  readonly #open = new Map<string, Connection>()
  readonly #subjects = new Map<string, number>()
  readonly #pids = new Map<number, number>()
  /** Idle connections, the longest idle first, so that one timer is enough. */
  readonly #idle = new Set<Connection>()
  readonly #whenEmpty: (() => void)[] = []
  #timer: Disposable | undefined
  #stopping = false

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly clock: Clock,
    private readonly source: WorkloadSource,
  ) {}

  get size(): number {
    return this.#open.size
  }

  /** Whether the total limit is reached. */
  get full(): boolean {
    return this.#open.size >= this.limits.connections
  }

  /** Accepts no connection from now on; open ones stay. */
  stop(): void {
    this.#stopping = true
  }

  /** The limit that one more connection would exceed, or null. */
  excess({ subject, pid }: Quota): CloseReason | null {
    const ofSubject = this.#subjects.get(subject) ?? 0
    if (this.#stopping) return 'stopping'
    if (this.full) return 'limit_total'
    if (pid === null) return ofSubject >= MAX_UNIDENTIFIED ? 'limit_unidentified' : null
    if ((this.#pids.get(pid) ?? 0) >= this.limits.connectionsPerPid) return 'limit_pid'
    return ofSubject >= this.limits.connectionsPerSubject ? 'limit_subject' : null
  }

  /** Adds a connection until its socket closes. If it throws `caller.exited`, nothing is kept. */
  add(connection: Connection): void {
    const { id, caller, quota, socket } = connection
    connection.since = this.clock.now()
    if (!('error' in caller)) connection.workload = this.source.acquire(caller)
    this.#open.set(id, connection)
    increase(this.#subjects, quota.subject, 1)
    if (quota.pid !== null) increase(this.#pids, quota.pid, 1)
    this.#idleFromNow(connection)
    // The client may already have disconnected, and `close` may already have been emitted.
    if (socket.closed) this.#remove(connection)
    else socket.once('close', () => this.#remove(connection))
  }

  /** The connection of a call, by `call.getPeer()`. */
  of(peer: string): Connection | undefined {
    return this.#open.get(peer)
  }

  /** The workloads of open connections, as plain values. */
  workloads(): readonly WorkloadListing[] {
    return this.connected().map((workload) => workload.describe())
  }

  /** The same, but described one at a time by the caller: describing thousands at once would block the event loop. */
  connected(): readonly ConnectedWorkload[] {
    const found = new Map<Workload, Connection[]>()
    for (const connection of this.#open.values()) {
      const { workload } = connection
      if (!workload) continue
      const own = found.get(workload)
      if (own) own.push(connection)
      else found.set(workload, [connection])
    }
    return [...found].map(([workload, connections]) => ({
      pid: workload.caller.pid,
      key: workload.key,
      describe: () => ({ ...workload.describe(), connections: connections.map(listingOf) }),
    }))
  }

  /** A call has begun: the connection is not idle until it ends. */
  callStarted(connection: Connection): void {
    connection.calls++
    this.#idle.delete(connection)
  }

  callEnded(connection: Connection): void {
    if (connection.calls === 0) throw new TypeError(`a call ended on ${connection.id} that did not begin`)
    if (--connection.calls === 0 && this.#open.has(connection.id)) this.#idleFromNow(connection)
  }

  /** Resolves when no connection is open. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open.size === 0) resolve()
      else this.#whenEmpty.push(resolve)
    })
  }

  /** The configuration changed: closes connections that have been idle for longer than the limit. */
  reconsider(): void {
    this.#rest()
    this.#schedule()
  }

  closeAll(reason: CloseReason): void {
    for (const connection of [...this.#open.values()]) connection.close(reason)
  }

  [Symbol.dispose](): void {
    this.#rest()
  }

  #remove(connection: Connection): void {
    const { id, quota, workload } = connection
    this.#open.delete(id)
    this.#idle.delete(connection)
    increase(this.#subjects, quota.subject, -1)
    if (quota.pid !== null) increase(this.#pids, quota.pid, -1)
    if (this.#idle.size === 0) this.#rest()
    workload?.release()
    if (this.#open.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  #idleFromNow(connection: Connection): void {
    connection.idleSince = this.clock.monotonic()
    this.#idle.delete(connection)
    this.#idle.add(connection)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#timer) return
    const [first] = this.#idle
    if (!first) return
    const due = first.idleSince + this.limits.idleConnectionMs - this.clock.monotonic()
    this.#timer = this.clock.after(Math.max(0, due), () => this.#closeIdle())
  }

  #closeIdle(): void {
    this.#timer = undefined
    const since = this.clock.monotonic() - this.limits.idleConnectionMs
    for (const connection of [...this.#idle]) {
      if (connection.idleSince > since) break
      connection.close('idle')
    }
    this.#schedule()
  }

  #rest(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
  }
}

/** The quota that all unidentified callers share. */
export const unidentifiedQuota: Quota = { subject: UNIDENTIFIED, pid: null }

function listingOf({ id, calls, since, streams }: Connection): ConnectionListing {
  const kinds = [...streams].map((stream) => ({
    dialect: stream.kind.dialect,
    method: stream.kind.method,
    since: stream.since,
    sent: stream.sent,
  }))
  return { id, calls, since, streams: kinds }
}

function increase<K>(counts: Map<K, number>, key: K, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
