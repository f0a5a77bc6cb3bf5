import type { AuditTarget } from '../ports/audit-target.js'
import type { Clock } from '../ports/clock.js'
import { AUDIT_BUFFER } from './audit-file.js'
import { type Libc, loadLibc } from './koffi-libc.js'

export const SYSLOG_SOCKET = '/dev/log'
/** authpriv.info: facility 10, severity 6. */
const PRIORITY = 10 * 8 + 6
/** Wait before a busy daemon is tried again. */
const RETRY_MS = 50
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

interface SyslogOptions {
  readonly pid: number
  readonly clock: Pick<Clock, 'now' | 'after'>
  readonly path?: string
  readonly libc?: () => Pick<Libc, 'sendDatagram'>
}

/**
 * Sends records to the syslog daemon of this machine, each as one datagram in the form of syslog(3), without blocking. Up
 * to 4 MiB that the daemon does not accept wait and are sent again.
 */
export class AuditSyslog implements AuditTarget {
  #queue: string[] = []
  #bytes = 0
  #failure: Error | null = null
  #timer: Disposable | null = null
  #refused = 0

  constructor(private readonly options: SyslogOptions) {}

  write(line: string): boolean {
    const message = `<${PRIORITY}>${stamp(new Date(this.options.clock.now()))} icp-agent[${this.options.pid}]: ${line.trimEnd()}`
    const bytes = Buffer.byteLength(message)
    if (this.#bytes + bytes > AUDIT_BUFFER) return false
    this.#queue.push(message)
    this.#bytes += bytes
    if (this.#timer === null) this.retry()
    return true
  }

  get waiting(): number {
    return this.#bytes
  }

  get failure(): Error | null {
    return this.#failure
  }

  readonly writing = false

  retry(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    const { path = SYSLOG_SOCKET, libc = loadLibc, clock } = this.options
    let sent = 0
    try {
      for (const message of this.#queue) {
        libc().sendDatagram(path, message)
        sent++
      }
      this.#failure = null
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null
      // A record too large for any datagram is dropped, or it would block all others.
      if (code === 'EMSGSIZE') this.#refused++
      if (code === 'EMSGSIZE') sent++
      else if (code !== 'EAGAIN') this.#failure = error instanceof Error ? error : new Error(String(error))
      if (code === 'EAGAIN' || code === 'EMSGSIZE') this.#timer = clock.after(RETRY_MS, () => this.retry())
    }
    for (const message of this.#queue.splice(0, sent)) this.#bytes -= Buffer.byteLength(message)
  }

  reopen(): void {}

  end(): Promise<number> {
    this.retry()
    this.#timer?.[Symbol.dispose]()
    return Promise.resolve(this.#queue.length + this.#refused)
  }
}

/** As syslog(3) writes it, in local time: `Nov  9 01:05:09`. */
function stamp(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0')
  const day = String(time.getDate()).padStart(2, ' ')
  return `${MONTHS[time.getMonth()]} ${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}
