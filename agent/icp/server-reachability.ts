import { AgentError, type ErrorCode, SILENCE } from '../errors.js'
import { Signal } from '../lib/signal.js'
import type { Clock } from '../ports/clock.js'

/** Errors of the server as a whole; any other answer, also a refusal, means that it works. */
const AWAY: ReadonlySet<ErrorCode> = new Set(['icp.server_error', 'icp.bad_response', 'icp.too_large'])

/** The problem of the server, and since when (milliseconds since 1970). */
export interface ReachabilityTrouble {
  readonly code: ErrorCode
  readonly message: string
  readonly since: number
}

/** When the server last answered, and why it does not answer now. */
export class ServerReachability {
  #reachedAt: number | null = null
  #trouble: ReachabilityTrouble | null = null
  readonly #returned = new Signal()

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  /** Milliseconds since 1970; null before the first answer. */
  get reachedAt(): number | null {
    return this.#reachedAt
  }

  get trouble(): ReachabilityTrouble | null {
    return this.#trouble
  }

  answered(): void {
    const silent = this.#trouble !== null && SILENCE.has(this.#trouble.code)
    this.#reachedAt = this.clock.now()
    this.#trouble = null
    if (silent) this.#returned.emit()
  }

  /** Calls back at the first answer after an outage. */
  onReturn(listener: () => void): Disposable {
    return this.#returned.subscribe(listener)
  }

  failed(error: unknown): void {
    if (!(error instanceof AgentError)) return
    if (SILENCE.has(error.code) || AWAY.has(error.code)) {
      this.#trouble = { code: error.code, message: error.message, since: this.#trouble?.since ?? this.clock.now() }
    } else if (error.code.startsWith('icp.')) this.answered()
  }
}
