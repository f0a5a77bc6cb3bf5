import type { Clock } from '../ports/clock.js'

/** Memory limits of incomplete messages: of one container or user, and of all together. */
export const UNFINISHED_LIMITS = { subjectBytes: 64 * 1024 ** 2, allBytes: 192 * 1024 ** 2 }
/** If a message is not complete this long after its first byte, its call ends. */
const PATIENCE_MS = 30_000
/** Overhead of each received part of a message. */
const PART_BYTES = 256
/** The prefix of a gRPC message: one byte for compression, four for the length. */
const PREFIX_BYTES = 5

/** A call, as HTTP/2 sees it. */
export interface Receiving {
  on(event: 'data', listener: (part: Buffer) => void): unknown
  once(event: 'close', listener: () => void): unknown
}

/**
 * Counts the memory of messages that grpc-js has received in part. By itself grpc-js buffers each one up to the largest
 * message for an unlimited time, and a process may make thousands of calls.
 */
export class UnfinishedMessages {
  readonly #bySubject = new Map<string, number>()
  #all = 0

  constructor(
    private readonly clock: Pick<Clock, 'after'>,
    private readonly limits = UNFINISHED_LIMITS,
  ) {}

  /** Buffered bytes. */
  get bytes(): number {
    return this.#all
  }

  /** Call it when grpc-js already listens, so that this does not start reading. `end`: ends the call. */
  watch(call: Receiving, subject: string, end: () => void): void {
    const message = new Unfinished()
    let timer: Disposable | null = null
    let held = 0
    const hold = (bytes: number) => {
      this.#count(subject, bytes - held)
      held = bytes
      if (bytes === 0) {
        timer?.[Symbol.dispose]()
        timer = null
      } else timer ??= this.clock.after(PATIENCE_MS, giveUp)
    }
    let over = false
    const giveUp = () => {
      if (over) return
      over = true
      hold(0)
      end()
    }
    call.on('data', (part) => {
      if (over) return
      const whole = message.add(part)
      if (whole) hold(0)
      hold(message.bytes)
      const { subjectBytes, allBytes } = this.limits
      if ((this.#bySubject.get(subject) ?? 0) > subjectBytes || this.#all > allBytes) giveUp()
    })
    call.once('close', () => {
      over = true
      hold(0)
    })
  }

  #count(subject: string, bytes: number): void {
    const of = (this.#bySubject.get(subject) ?? 0) + bytes
    if (of > 0) this.#bySubject.set(subject, of)
    else this.#bySubject.delete(subject)
    this.#all += bytes
  }
}

/** Tracks the messages of one call by their lengths. */
class Unfinished {
  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixLength = 0
  #left = 0
  /** Buffered bytes of the incomplete message. */
  bytes = 0

  /** True if the part completed a message. */
  add(part: Buffer): boolean {
    let whole = false
    let at = 0
    this.bytes += part.length + PART_BYTES
    while (at < part.length) {
      if (this.#left === 0) {
        this.#prefix[this.#prefixLength++] = part[at++] ?? 0
        if (this.#prefixLength < PREFIX_BYTES) continue
        this.#prefixLength = 0
        this.#left = this.#prefix.readUInt32BE(1)
      } else {
        const taken = Math.min(this.#left, part.length - at)
        this.#left -= taken
        at += taken
      }
      if (this.#left > 0) continue
      whole = true
      const rest = part.length - at
      this.bytes = rest === 0 ? 0 : rest + PART_BYTES
    }
    return whole
  }
}
