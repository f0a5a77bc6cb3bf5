import type { Clock } from '../ports/clock.js'

/** What messages that are not whole yet may take in memory: of one container or user, and of all together. */
export const UNFINISHED_LIMITS = { subjectBytes: 64 * 1024 ** 2, allBytes: 192 * 1024 ** 2 }
/** A message is whole so long after its first byte, or its call ends. */
const PATIENCE_MS = 30_000
/** A part of a message costs so much beside its bytes. */
const PART_BYTES = 256
/** gRPC over HTTP/2: one byte that says whether it is compressed, four that say how long it is. */
const PREFIX_BYTES = 5

/** A call, as HTTP/2 sees it. */
export interface Receiving {
  on(event: 'data', listener: (part: Buffer) => void): unknown
  once(event: 'close', listener: () => void): unknown
}

/**
 * Counts what grpc-js keeps of messages that have not come whole. It keeps as much of each as one message may have, for as
 * long as the client likes, and a process may make calls by the thousand.
 */
export class UnfinishedMessages {
  readonly #bySubject = new Map<string, number>()
  #all = 0

  constructor(
    private readonly clock: Pick<Clock, 'after'>,
    private readonly limits = UNFINISHED_LIMITS,
  ) {}

  /** Bytes that are held. */
  get bytes(): number {
    return this.#all
  }

  /** Call it when grpc-js listens, so that nothing is read for this. `end`: the call has to end. */
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

/** Follows the messages of one call by their lengths. */
class Unfinished {
  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixLength = 0
  #left = 0
  /** What is held of the message that has begun. */
  bytes = 0

  /** True where a message became whole with it. */
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
