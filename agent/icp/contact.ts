import { AgentError, type ErrorCode } from '../errors.js'
import type { Clock } from '../ports/clock.js'

/** Failures of the server as a whole; any other answer, a refusal too, means that it is there. */
const AWAY: ReadonlySet<ErrorCode> = new Set([
  'icp.unreachable',
  'icp.timeout',
  'icp.tls',
  'icp.server_error',
  'icp.bad_response',
  'icp.too_large',
])

/** No answer at all, as against a bad one. */
const SILENT: ReadonlySet<ErrorCode> = new Set(['icp.unreachable', 'icp.timeout', 'icp.tls'])

/** What is wrong with the server, and since when (milliseconds since 1970). */
export interface ContactTrouble {
  readonly code: ErrorCode
  readonly message: string
  readonly since: number
}

/** When the server last answered, and why it does not now. */
export class Contact {
  #reachedAt: number | null = null
  #trouble: ContactTrouble | null = null
  readonly #onReturn = new Set<() => void>()

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  /** Milliseconds since 1970; null before the first answer. */
  get reachedAt(): number | null {
    return this.#reachedAt
  }

  get trouble(): ContactTrouble | null {
    return this.#trouble
  }

  answered(): void {
    const silent = this.#trouble !== null && SILENT.has(this.#trouble.code)
    this.#reachedAt = this.clock.now()
    this.#trouble = null
    if (silent) for (const listener of [...this.#onReturn]) listener()
  }

  /** Calls back at the first answer of a server that had not answered. */
  onReturn(listener: () => void): Disposable {
    this.#onReturn.add(listener)
    return { [Symbol.dispose]: () => void this.#onReturn.delete(listener) }
  }

  failed(error: unknown): void {
    if (!(error instanceof AgentError)) return
    if (AWAY.has(error.code)) {
      this.#trouble = { code: error.code, message: error.message, since: this.#trouble?.since ?? this.clock.now() }
    } else if (error.code.startsWith('icp.')) this.answered()
  }
}
