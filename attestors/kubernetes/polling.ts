import { Alarm } from '../../agent/lib/alarm.js'
import { endedByAbort, sleepUnlessAborted } from '../../agent/lib/sleep.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'

export interface PollingOptions {
  readonly clock: Clock
  readonly random: Random
  /** Between two lists while somebody wants to hear of changes. */
  readonly intervalMs: number
  /** Between two lists at least, however many ask for something newer. */
  readonly spacingMs: number
  /** Whether anybody wants to hear of changes. */
  readonly watched: () => boolean
}

/** When to list again where nothing tells of changes: at intervals while somebody listens, soon when somebody waits. */
export class Polling {
  readonly #alarm: Alarm
  readonly #waiters = new Set<() => void>()
  #askedAt = Number.NEGATIVE_INFINITY
  #wanted = false
  #failing = false

  constructor(private readonly options: PollingOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  /** Somebody waits for something newer than there is. */
  want(): void {
    this.#wanted = true
    this.#alarm.ring()
  }

  /**
   * Resolves when what is known is of the last interval or so: at once, or when the next list was tried. At once too
   * while lists fail, for then there is nothing newer to be had, and when the signal aborts.
   */
  async current(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs } = this.options
    if (signal.aborted || this.#failing || clock.monotonic() - this.#askedAt <= 2 * intervalMs) return
    this.want()
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#waiters.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiters.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  /** A list is asked for now. */
  begins(): void {
    this.#wanted = false
    this.#askedAt = this.options.clock.monotonic()
  }

  /** It has come, or failed. */
  ended(outcome: 'listed' | 'failed'): void {
    this.#failing = outcome === 'failed'
    for (const wake of [...this.#waiters]) wake()
  }

  /** Resolves when it is time to list again, when it is `until` (monotonic), or when the signal aborts. */
  async pause(signal: AbortSignal, until = Number.POSITIVE_INFINITY): Promise<void> {
    const { clock, random, intervalMs, spacingMs, watched } = this.options
    while (!signal.aborted && clock.monotonic() < until) {
      // The nodes of a cluster that started together must not ask together for ever.
      if (!this.#wanted)
        await endedByAbort(this.#alarm.sleep(intervalMs * (0.9 + 0.2 * random.fraction()), signal), signal)
      if (this.#wanted || watched()) break
    }
    await sleepUnlessAborted(clock, this.#askedAt + spacingMs - clock.monotonic(), signal)
  }
}
