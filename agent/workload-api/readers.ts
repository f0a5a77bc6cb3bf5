import type { Socket } from 'node:net'
import type { Clock } from '../ports/clock.js'
import type { Connection } from './connection.js'
import type { ConnectionRegistry } from './connections.js'
import type { Account, Subject } from './rates.js'

/** A connection that HTTP/2 reads. */
interface Http2Reader {
  readonly connection: Connection
  /** The socket that HTTP/2 reads from. */
  readonly socket: Socket
}

/**
 * Open connections by subject, to stop HTTP/2 from reading those of a caller with too many calls. One read of 64 KiB may
 * bring hundreds of calls. The stop also affects connections that are already readable in the same iteration.
 */
export class Readers implements Disposable {
  readonly #open = new Map<Subject, Set<Http2Reader>>()
  readonly #paused = new Set<Http2Reader>()
  readonly #timers = new Set<Disposable>()

  constructor(
    private readonly connections: ConnectionRegistry,
    private readonly clock: Pick<Clock, 'after'>,
  ) {}

  /** `socket`: the one that HTTP/2 reads from. */
  add(connection: Connection, socket: Socket): void {
    const { subject } = connection.account
    const reader: Http2Reader = { connection, socket }
    const ofSubject = this.#open.get(subject) ?? new Set()
    this.#open.set(subject, ofSubject.add(reader))
    socket.once('close', () => {
      this.#paused.delete(reader)
      ofSubject.delete(reader)
      if (ofSubject.size === 0) this.#open.delete(subject)
    })
  }

  /** Stops reading from the process, or from its whole subject, until `waitMs()` is 0. */
  pause({ subject }: Account, process: Account | null, waitMs: () => number): void {
    const chosen = [...(this.#open.get(subject) ?? [])].filter(
      (reader) => !this.#paused.has(reader) && (process === null || reader.connection.account === process),
    )
    for (const reader of chosen) {
      this.#paused.add(reader)
      // An unread call may wait on it, so it is not idle.
      this.connections.callStarted(reader.connection)
      reading(reader.socket, 'readStop')
    }
    if (chosen.length > 0) this.#wait(chosen, waitMs)
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) timer[Symbol.dispose]()
    this.#timers.clear()
  }

  #wait(paused: readonly Http2Reader[], waitMs: () => number): void {
    const timer = this.clock.after(Math.max(1, waitMs()), () => {
      this.#timers.delete(timer)
      if (waitMs() > 0) this.#wait(paused, waitMs)
      else for (const reader of paused) this.#resume(reader)
    })
    this.#timers.add(timer)
  }

  #resume(reader: Http2Reader): void {
    if (!this.#paused.delete(reader)) return
    this.connections.callEnded(reader.connection)
    reading(reader.socket, 'readStart')
  }
}

/** HTTP/2 reads from the handle directly, so `pause()` of the socket would have no effect. */
function reading(socket: Socket, what: 'readStop' | 'readStart'): void {
  const handle: unknown = Reflect.get(socket, '_handle')
  const method: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, what) : null
  if (typeof method === 'function') Reflect.apply(method, handle, [])
}
