import type { Clock } from '../ports/clock.js'
import type { CloseReason, Connection } from './connection.js'

/** What the endpoint holds open. */
export interface ConnectionLimits {
  readonly connections: number
  /** Per container, else per user. */
  readonly connectionsPerSubject: number
  readonly connectionsPerPid: number
  /** A connection on which no call is open is closed after so many milliseconds. */
  readonly idleConnectionMs: number
}

/** Against whom a connection counts. */
export interface Quota {
  readonly subject: string
  /** Null where nobody knows it. */
  readonly pid: number | null
}

interface Held {
  readonly connection: Connection
  readonly quota: Quota
  calls: number
  idleSince: number
}

/** Callers that nobody knows get a status each, but not many of them at a time. */
const UNIDENTIFIED = 'unidentified'
const MAX_UNIDENTIFIED = 64

/**
 * All open connections, counted in total, by subject and by pid. Those on which nothing is called for a while are
 * closed: a client that never sends a byte would stay for ever otherwise.
 */
export class Connections implements Disposable {
  readonly #held = new Map<string, Held>()
  readonly #subjects = new Map<string, number>()
  readonly #pids = new Map<number, number>()
  /** In the order of idling: the first has waited longest. One timer is enough. */
  readonly #idle = new Set<Held>()
  #timer: Disposable | undefined

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly clock: Clock,
  ) {}

  get size(): number {
    return this.#held.size
  }

  /** Nobody else can be taken, whoever it is. */
  get full(): boolean {
    return this.#held.size >= this.limits.connections
  }

  /** Why one more would be too many, or null. */
  excess({ subject, pid }: Quota): CloseReason | null {
    const ofSubject = this.#subjects.get(subject) ?? 0
    if (this.full) return 'limit_total'
    if (pid === null) return ofSubject >= MAX_UNIDENTIFIED ? 'limit_unidentified' : null
    if ((this.#pids.get(pid) ?? 0) >= this.limits.connectionsPerPid) return 'limit_pid'
    return ofSubject >= this.limits.connectionsPerSubject ? 'limit_subject' : null
  }

  add(connection: Connection, quota: Quota): void {
    const held: Held = { connection, quota, calls: 0, idleSince: this.clock.monotonic() }
    this.#held.set(connection.id, held)
    increase(this.#subjects, quota.subject, 1)
    if (quota.pid !== null) increase(this.#pids, quota.pid, 1)
    this.#idle.add(held)
    this.#schedule()
  }

  /** The connection is closed. */
  remove(id: string): void {
    const held = this.#held.get(id)
    if (!held) return
    this.#held.delete(id)
    this.#idle.delete(held)
    increase(this.#subjects, held.quota.subject, -1)
    if (held.quota.pid !== null) increase(this.#pids, held.quota.pid, -1)
    if (this.#idle.size === 0) this.#rest()
  }

  /** A call began: the connection is not idle until it ended. */
  callStarted(id: string): void {
    const held = this.#held.get(id)
    if (!held) return
    held.calls++
    this.#idle.delete(held)
  }

  callEnded(id: string): void {
    const held = this.#held.get(id)
    if (!held) return
    if (held.calls === 0) throw new TypeError(`a call ended on ${id} that did not begin`)
    if (--held.calls === 0) this.#idleFromNow(held)
  }

  closeAll(reason: CloseReason): void {
    for (const { connection } of [...this.#held.values()]) connection.close(reason)
  }

  [Symbol.dispose](): void {
    this.#rest()
  }

  #idleFromNow(held: Held): void {
    held.idleSince = this.clock.monotonic()
    this.#idle.delete(held)
    this.#idle.add(held)
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
    for (const held of [...this.#idle]) {
      if (held.idleSince > since) break
      held.connection.close('idle')
    }
    this.#schedule()
  }

  #rest(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
  }
}

/** Nobody knows whom it counts against. */
export const unidentifiedQuota: Quota = { subject: UNIDENTIFIED, pid: null }

function increase<K>(counts: Map<K, number>, key: K, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
