import { write, writeSync } from 'node:fs'

/** Bytes that may wait for a slow or full target before lines are dropped. */
export const MAX_WAITING = 1024 * 1024
const NEWLINE = 0x0a
const RETRY_MS = 50
const FLUSH_TRIES = 20

/** Unwritten lines after the end, and whether another one was written in part. */
export interface Unwritten {
  readonly lines: Buffer
  readonly torn: boolean
}

const NOTHING: Unwritten = { lines: Buffer.alloc(0), torn: false }

export interface LineSinkOptions {
  /** Keeps lines until `release`, because another sink still writes to the same disk and may hang there. */
  readonly held?: boolean
  /** Called when writes begin to fail, once until they succeed again. */
  readonly onFailure?: (error: Error) => void
  /** Called when writes succeed again after a failure or dropped lines, with the number of dropped lines. */
  readonly onRecovery?: (dropped: number) => void
}

/**
 * Writes lines to a file descriptor without blocking: up to 1 MiB waits, then whole lines are dropped and counted. A full
 * disk, a missing reader or a stuck one neither stops nor blocks the agent. `flush` writes the rest synchronously and
 * gives up at the first failure.
 */
export class LineSink {
  readonly #fd: number
  readonly #options: LineSinkOptions
  /** The data being written, or the rest of it after a partial write. */
  #current: Buffer | null = null
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #inFlight = false
  #dropped = 0
  #failure: Error | null = null
  /** The first line of `#current` was written in part. */
  #torn = false
  #ended = false
  #retrying = false
  #held: boolean
  /** EAGAINs since the last successful write. */
  #refusals = 0
  #whenDone: (() => void) | null = null
  #left: Unwritten = NOTHING

  constructor(fd: number, options: LineSinkOptions = {}) {
    this.#fd = fd
    this.#options = options
    this.#held = options.held === true
  }

  /** False if the line was dropped: more than `maxWaiting` bytes wait already, or the reader is gone for good. */
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

  /** Waiting bytes that are not part of the write in progress. */
  get queued(): number {
    return this.#waitingBytes
  }

  /** Why writes fail; null while they succeed. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Retries a failed write now instead of with the next line. */
  retry(): void {
    this.#pump()
  }

  /** Writes all waiting lines now. Called at the end of the process: it must not hang, so it gives up at a failure. */
  flush(): void {
    // A thread still writes the data in flight, also after the end of the event loop, so it is not written again.
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

  /** A thread is writing, or hangs while writing. */
  get writing(): boolean {
    return this.#inFlight
  }

  /**
   * Accepts no more lines, and calls back when all lines are written or refused, so that the descriptor may be closed. Waits
   * for a stuck target as long as `flush`.
   */
  end(done: () => void): void {
    this.#ended = true
    this.#whenDone = done
    this.#refusals = 0
    this.#pump()
    this.#tellDone()
  }

  /** Writes these lines and then the held ones. */
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

  /** After the end: the unwritten lines. */
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
      // The reader is gone for good.
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
