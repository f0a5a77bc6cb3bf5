import type { ErrorCode } from '../errors.js'
import { delay } from '../lib/backoff.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { failureClass } from './failure-class.js'

/** So many failures in a row, of at least two entries, are the server's and not an entry's. */
const SUSPICIOUS = 3
/** The first attempts follow each other quickly, because callers may wait; then the usual back-off applies. */
const QUICK_CAP_MS = 5_000
const QUICK_TRIES = 24

/**
 * Trips while every issuance fails, whichever entry it is for: then one try in a while says as much as one an entry,
 * and the slots that are saved are there when the server works again.
 */
export class CircuitBreaker {
  #failures = 0
  readonly #entries = new Set<string>()
  /** Whatever this agent asks is refused. */
  #ofTheAgent = false
  #trippedUntil = Number.NEGATIVE_INFINITY

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly random: Random,
    private readonly settings: { readonly retryBackoffMs: number },
  ) {}

  /** Milliseconds until an issuance may be tried; 0 when it may now. */
  opensIn(): number {
    return Math.max(0, this.#trippedUntil - this.clock.monotonic())
  }

  /**
   * An issuance failed. What the server says of one entry says nothing of others, nor does one that fails while others
   * are issued (`outlived`).
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

  /** An issuance worked, or the server came back. True when it was the first to do so after it had tripped. */
  passed(): boolean {
    const was = this.suspicious
    this.#failures = 0
    this.#entries.clear()
    this.#ofTheAgent = false
    this.#trippedUntil = Number.NEGATIVE_INFINITY
    return was
  }

  /** It seems to be the server that fails. */
  get suspicious(): boolean {
    return this.#ofTheAgent || (this.#failures >= SUSPICIOUS && this.#entries.size > 1)
  }
}
