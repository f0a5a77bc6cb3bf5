import type { ErrorCode } from '../errors.js'
import { delay } from '../lib/backoff.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { failureClass } from './failure-class.js'

/** After this many consecutive failures, of at least two entries, the server is at fault and not an entry. */
const SUSPICIOUS = 3
/** The cap of the wait for the first attempts, because callers may wait; then the usual back-off applies. */
const QUICK_CAP_MS = 5_000
const QUICK_TRIES = 24

/**
 * Trips while issuance fails for every entry: then an occasional attempt tells as much as one for each entry, and slots
 * are left for when the server works again.
 */
export class CircuitBreaker {
  #failures = 0
  readonly #entries = new Set<string>()
  /** The server refuses every request of this agent. */
  #ofTheAgent = false
  #trippedUntil = Number.NEGATIVE_INFINITY

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly random: Random,
    private readonly settings: { readonly retryBackoffMs: number },
  ) {}

  /** Milliseconds until an issuance may be tried; 0: now. */
  opensIn(): number {
    return Math.max(0, this.#trippedUntil - this.clock.monotonic())
  }

  /**
   * An issuance failed. A refusal of one entry does not count, nor a failure during which other entries were issued
   * (`outlived`).
   */
  failed(entryId: string, code: ErrorCode, outlived = false): void {
    const of = failureClass(code)
    if (of === 'entry' || (outlived && of !== 'agent')) return
    this.#failures++
    this.#entries.add(entryId)
    this.#ofTheAgent = of === 'agent'
    if (!this.suspicious) return
    const tries = Math.max(1, this.#failures - SUSPICIOUS + 1)
    const capMs = tries <= QUICK_TRIES ? QUICK_CAP_MS : 60_000
    this.#trippedUntil =
      this.clock.monotonic() + delay(tries, { baseMs: this.settings.retryBackoffMs, capMs }, this.random.fraction())
  }

  /** An issuance succeeded, or the server answers again. True if this closed the breaker after it had tripped. */
  passed(): boolean {
    const was = this.suspicious
    this.#failures = 0
    this.#entries.clear()
    this.#ofTheAgent = false
    this.#trippedUntil = Number.NEGATIVE_INFINITY
    return was
  }

  /** Whether the server seems to be at fault. */
  get suspicious(): boolean {
    return this.#ofTheAgent || (this.#failures >= SUSPICIOUS && this.#entries.size > 1)
  }
}
