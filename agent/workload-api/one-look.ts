import type { AgentError } from '../errors.js'
import type { Clock } from '../ports/clock.js'

/** The longest reuse of a result. */
const ONE_LOOK_MS = 10

/**
 * Shares one check of a process between all decisions about it in one iteration of the event loop, because thousands of
 * streams of a process may decide at one change. The result is dropped in a microtask, before any awaiting code
 * continues. Only a success is reused; after a failure the process is checked each time.
 */
export class OneLook {
  #at: number | null = null
  readonly #forget = () => {
    this.#at = null
  }

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly look: () => AgentError | null,
  ) {}

  check(): AgentError | null {
    const now = this.clock.monotonic()
    if (this.#at !== null && now - this.#at < ONE_LOOK_MS) return null
    const error = this.look()
    if (error) return error
    this.#at = now
    queueMicrotask(this.#forget)
    return null
  }
}
