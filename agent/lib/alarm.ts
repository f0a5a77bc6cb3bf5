import type { Clock } from '../ports/clock.js'
import { LinkedAbort } from './abort.js'
import { sleepUnlessAborted } from './sleep.js'

/** The abort reason, which is never shown. Without one Node creates an exception with a stack at each ring. */
const RANG = 'rang'

/** A sleep that `ring` can end early. */
export class Alarm {
  #ring: (() => void) | null = null
  #rang = false

  constructor(private readonly clock: Pick<Clock, 'sleep'>) {}

  /** Ends the sleep in progress, or the next one before it begins. */
  ring(): void {
    this.#rang = true
    this.#ring?.()
  }

  /** Sleeps at most `ms`; returns early when it rings or the wall clock jumps. Rejects with the signal's reason. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#rang) {
      using ended = new LinkedAbort(signal)
      this.#ring = () => ended.abort(RANG)
      try {
        await sleepUnlessAborted(this.clock, ms, ended.signal)
      } finally {
        this.#ring = null
      }
    }
    this.#rang = false
    signal.throwIfAborted()
  }
}
