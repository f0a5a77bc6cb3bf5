import { Alarm } from '../../agent/lib/alarm.js'
import { endedByAbort, sleepUnlessAborted } from '../../agent/lib/sleep.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'

export interface PollingOptions {
  readonly clock: Clock
  readonly random: Random
  /** Interval of lists while there are subscribers to changes. */
  readonly intervalMs: number
  /** Minimum time between two lists, whatever the number of waiting callers. */
  readonly spacingMs: number
  /** Whether there are subscribers to changes. */
  readonly watched: () => boolean
}

/** Times the lists of a source without notifications: at intervals while there are subscribers, soon if a caller waits. */
export class Polling {
  readonly #alarm: Alarm
  readonly #waiters = new Set<() => void>()
  #askedAt = Number.NEGATIVE_INFINITY
  #wanted = false
  #failing = false

  constructor(private readonly options: PollingOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  /** A caller waits for a newer list. */
  want(): void {
    this.#wanted = true
    this.#alarm.ring()
  }

  /**
   * Resolves when the known list is about one interval old at most: at once, or after the next list. Resolves at once while
   * lists fail, because no newer one is available, and when the signal aborts.
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

  /** A list is being requested. */
  begins(): void {
    this.#wanted = false
    this.#askedAt = this.options.clock.monotonic()
  }

  /** The list has arrived or failed. */
  ended(outcome: 'listed' | 'failed'): void {
    this.#failing = outcome === 'failed'
    for (const wake of [...this.#waiters]) wake()
  }

  /** Resolves when the next list is due, at `until` (monotonic), or when the signal aborts. */
  async pause(signal: AbortSignal, until = Number.POSITIVE_INFINITY): Promise<void> {
    const { clock, random, intervalMs, spacingMs, watched } = this.options
    while (!signal.aborted && clock.monotonic() < until) {
      // Jitter, so that nodes that started together do not keep polling together.
      if (!this.#wanted)
        await endedByAbort(this.#alarm.sleep(intervalMs * (0.9 + 0.2 * random.fraction()), signal), signal)
      if (this.#wanted || watched()) break
    }
    await sleepUnlessAborted(clock, this.#askedAt + spacingMs - clock.monotonic(), signal)
  }
}
