import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { AuditTarget } from '../ports/audit-target.js'
import { LineSink } from './line-sink.js'
import { openLogFile } from './log-file.js'

/** Bytes that may wait before records are dropped. */
export const AUDIT_BUFFER = 4 * 1024 * 1024
const NEWLINE = 0x0a

interface OpenSink {
  readonly fd: number
  readonly sink: LineSink
}

/**
 * Appends records to a file, which is opened and checked like the log file. While it cannot be opened or written, up to
 * 4 MiB wait and go into the next file that is opened. After a partial line (a full disk) a line feed is written first, so
 * that the next line is whole.
 */
export class AuditFile implements AuditTarget {
  #open: OpenSink | null = null
  /** Former files that are still being written. */
  readonly #ending = new Set<OpenSink>()
  #openFailure: Error | null = null
  /** Lines from before the file could be opened. */
  #pending: string[] = []
  #pendingBytes = 0
  #torn = 0

  /** `open`: opens the file to append to it; throws an AgentError. */
  constructor(
    private readonly path: string,
    private readonly open: (path: string) => number = (file) => openLogFile(file),
  ) {}

  write(line: string): boolean {
    if (this.#open !== null) {
      const { sink } = this.#open
      return sink.write(line, Math.max(0, AUDIT_BUFFER - (sink.waiting - sink.queued)))
    }
    const bytes = Buffer.byteLength(line)
    if (this.#pendingBytes + bytes > AUDIT_BUFFER) return false
    this.#pending.push(line)
    this.#pendingBytes += bytes
    return true
  }

  get waiting(): number {
    return this.#pendingBytes + (this.#open?.sink.waiting ?? 0)
  }

  get failure(): Error | null {
    return this.#open === null ? this.#openFailure : this.#open.sink.failure
  }

  get writing(): boolean {
    return [...this.#ending, ...(this.#open ? [this.#open] : [])].some(({ sink }) => sink.writing)
  }

  retry(): void {
    if (this.#open === null) this.reopen()
    else this.#open.sink.retry()
  }

  /** Opens the file, also the first time. If that fails, the old one stays in use. */
  reopen(): void {
    let fd: number
    try {
      fd = this.open(this.path)
      this.#openFailure = null
    } catch (error) {
      this.#openFailure = error instanceof Error ? error : new Error(String(error))
      return
    }
    const old = this.#open
    const sink = new LineSink(fd, { held: true })
    this.#open = { fd, sink }
    for (const line of this.#pending.splice(0)) sink.write(line, AUDIT_BUFFER)
    this.#pendingBytes = 0
    const begin = (before: Buffer) =>
      sink.release(endsMidLine(fd) ? Buffer.concat([Buffer.from([NEWLINE]), before]) : before)
    if (old === null) begin(Buffer.alloc(0))
    else this.#end(old, () => begin(old.sink.left.lines))
  }

  end(): Promise<number> {
    const last = this.#open
    this.#open = null
    if (last === null) return Promise.resolve(this.#pending.length)
    return new Promise((resolve) => {
      this.#end(last, () => resolve(linesIn(last.sink.left.lines) + this.#torn))
    })
  }

  #end(one: OpenSink, after: () => void): void {
    this.#ending.add(one)
    one.sink.end(() => {
      this.#ending.delete(one)
      if (one.sink.left.torn) this.#torn++
      after()
      closeSync(one.fd)
    })
  }
}

function linesIn(bytes: Buffer): number {
  return bytes.reduce((count, byte) => (byte === NEWLINE ? count + 1 : count), 0)
}

/** Whether the file ends with a partial line, from an earlier run or a full disk. */
function endsMidLine(fd: number): boolean {
  const { size } = fstatSync(fd)
  if (size === 0) return false
  try {
    const reader = openSync(`/proc/self/fd/${fd}`, 'r')
    try {
      const last = Buffer.alloc(1)
      return readSync(reader, last, 0, 1, size - 1) === 1 && last[0] !== NEWLINE
    } finally {
      closeSync(reader)
    }
  } catch {
    // The file may be writable but not readable; an extra empty line is harmless.
    return true
  }
}
