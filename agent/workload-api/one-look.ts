import type { AgentError } from '../errors.js'
import type { Clock } from '../ports/clock.js'

/** What is found counts for no longer than this. */
const ONE_LOOK_MS = 10

/**
 * One check of a process for all decisions about it in one turn of the event loop: thousands of streams of one process
 * may decide at one change. The result is dropped in a microtask, before any awaiting code continues. Only a success is
 * reused; after a failure the process is checked each time.
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
