import { write, writeSync } from 'node:fs'

/** Bytes that may wait for a slow or full target before lines are dropped. */
export const MAX_WAITING = 1024 * 1024
const NEWLINE = 0x0a
const RETRY_MS = 50
const FLUSH_TRIES = 20

/** What an end leaves: whole lines, and whether one was written in part, which is not among them. */
export interface Unwritten {
  readonly lines: Buffer
  readonly torn: boolean
}

const NOTHING: Unwritten = { lines: Buffer.alloc(0), torn: false }

export interface LineSinkOptions {
  /** Lines wait until `release`: another sink still writes to the same disk, and may hang there. */
  readonly held?: boolean
  /** Called when the target begins to refuse what is written, once until it takes lines again. */
  readonly onFailure?: (error: Error) => void
  /** Called when it takes lines again after a failure or after lines were dropped, with the number of the latter. */
  readonly onRecovery?: (dropped: number) => void
}

/**
 * Writes lines to a file descriptor without ever waiting for it: what the target does not take is kept up to 1 MiB,
 * then whole lines are dropped and counted. A full disk, a reader that has gone or one that is stuck neither stops nor
 * blocks the agent. `flush` writes what is left synchronously and gives up on the first refusal.
 */
export class LineSink {
  readonly #fd: number
  readonly #options: LineSinkOptions
  /** What is being written now; the rest of it where a write was partial. */
  #current: Buffer | null = null
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #inFlight = false
  #dropped = 0
  #failure: Error | null = null
  /** The first line of `#current` is written in part. */
  #torn = false
  #ended = false
  #retrying = false
  #held: boolean
  /** Refusals of a target that is stuck, since it last took something. */
  #refusals = 0
  #whenDone: (() => void) | null = null
  #left: Unwritten = NOTHING

  constructor(fd: number, options: LineSinkOptions = {}) {
    this.#fd = fd
    this.#options = options
    this.#held = options.held === true
  }

  /** False where the line was dropped: more than `maxWaiting` bytes wait already, or nobody will ever read it. */
  write(line: string, maxWaiting = MAX_WAITING): boolean {
    if (this.#ended) return false
    const bytes = Buffer.from(line)
    const dropped = this.#waitingBytes + bytes.length > maxWaiting
    if (dropped) this.#dropped++
    else {
      this.#waiting.push(bytes)
      this.#waitingBytes += bytes.length
    }
    this.#pump()
    return !dropped
  }

  /** Bytes that are not written yet. */
  get waiting(): number {
    return this.#waitingBytes + (this.#current?.length ?? 0)
  }

  /** Those of them that no write is under way for. */
  get queued(): number {
    return this.#waitingBytes
  }

  /** Why the target refuses what is written; null while it takes it. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Tries what was refused again, which else is done with the next line. */
  retry(): void {
    this.#pump()
  }

  /** Writes what waits, now. Called when the process ends: it must not hang, so a refusal ends it. */
  flush(): void {
    // What is in flight belongs to the thread that writes it, which outlives the event loop; never print it twice.
    const rest = Buffer.concat([
      ...(this.#current !== null && !this.#inFlight ? [this.#current] : []),
      ...this.#waiting,
    ])
    let done = 0
    for (let tries = 0; done < rest.length; ) {
      try {
        done += writeSync(this.#fd, rest, done)
      } catch (error) {
        if (codeOf(error) !== 'EAGAIN' || ++tries > FLUSH_TRIES) break
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS)
      }
    }
    if (!this.#inFlight) this.#current = null
    this.#setWaiting(done < rest.length ? [rest.subarray(done)] : [])
  }

  /** A thread is writing, or hangs in doing so. */
  get writing(): boolean {
    return this.#inFlight
  }

  /**
   * Takes no more lines, and calls back once what it has is written or refused: the descriptor may be closed. A target
   * that is stuck is given as long as by `flush`.
   */
  end(done: () => void): void {
    this.#ended = true
    this.#whenDone = done
    this.#refusals = 0
    this.#pump()
    this.#tellDone()
  }

  /** What was held is written, after these lines. */
  release(before?: Buffer): void {
    this.#held = false
    if (before && before.length > 0) this.#setWaiting([before, ...this.#waiting])
    this.#pump()
    this.#tellDone()
  }

  #tellDone(): void {
    if (this.#inFlight || this.#retrying || this.#held || this.#whenDone === null) return
    const done = this.#whenDone
    this.#whenDone = null
    const current = this.#current ?? Buffer.alloc(0)
    const whole = this.#torn ? current.subarray(current.indexOf(NEWLINE) + 1 || current.length) : current
    this.#left = { lines: Buffer.concat([whole, ...this.#waiting]), torn: this.#torn }
    this.#giveUp()
    done()
  }

  /** After the end: what was not written. */
  get left(): Unwritten {
    return this.#left
  }

  #pump(): void {
    if (this.#inFlight || this.#retrying || this.#held) return
    if (this.#current === null) {
      if (this.#waiting.length === 0) return
      this.#current = Buffer.concat(this.#waiting)
      this.#setWaiting([])
    }
    this.#inFlight = true
    write(this.#fd, this.#current, (error, written) => {
      this.#inFlight = false
      if (error) this.#refused(error)
      else this.#taken(written)
      this.#tellDone()
    })
  }

  #taken(written: number): void {
    this.#refusals = 0
    const rest = this.#current?.subarray(written)
    this.#torn =
      rest !== undefined && rest.length > 0 && (written > 0 ? this.#current?.[written - 1] !== NEWLINE : this.#torn)
    this.#current = rest !== undefined && rest.length > 0 ? rest : null
    if ((this.#failure !== null || this.#dropped > 0) && this.#current === null) {
      this.#failure = null
      this.#options.onRecovery?.(this.#dropped)
      this.#dropped = 0
    }
    this.#pump()
  }

  #refused(error: Error): void {
    if (codeOf(error) === 'EAGAIN') {
      if (this.#whenDone !== null && ++this.#refusals > FLUSH_TRIES) return
      this.#retrying = true
      setTimeout(() => {
        this.#retrying = false
        this.#pump()
      }, RETRY_MS)
      return
    }
    if (codeOf(error) === 'EPIPE') {
      // Nobody will ever read this again.
      this.#ended = true
      this.#giveUp()
    }
    const known = this.#failure !== null
    this.#failure = error
    if (!known) this.#options.onFailure?.(error)
  }

  #giveUp(): void {
    this.#current = null
    this.#torn = false
    this.#setWaiting([])
  }

  #setWaiting(waiting: Buffer[]): void {
    this.#waiting = waiting
    this.#waitingBytes = waiting.reduce((sum, bytes) => sum + bytes.length, 0)
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
